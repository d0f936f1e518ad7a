// The names and shapes of a BertForSequenceClassification's parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/tensor.h"

namespace bertie::model {

struct ParameterSpec {
  std::string name;  // transformers' state_dict name, "bert.encoder.layer.0...."
  Shape shape;       // a Linear's weight is [out_features, in_features]
};

// Every parameter in transformers' state_dict order.
std::vector<ParameterSpec> ParameterSpecs(const Config& config);

// How the names of a layer's parameters begin, with the dot.
std::string LayerName(int64_t layer);

// True for biases and LayerNorm parameters, which weight decay leaves alone.
bool IsNoDecay(const std::string& name);

}  // namespace bertie::model
