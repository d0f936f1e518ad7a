// The weights of a classifier in the form that inference reads: packed, fused, in the precision
// asked for. From a checkpoint, or from a compiled file (compiled_file.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/embedding_table.h"
#include "kernels/packed_matrix.h"
#include "model/checkpoint.h"
#include "model/config.h"

namespace bertie::model {

using kernels::WeightType;

// "fp32", "bf16", "int8".
const char* PrecisionName(WeightType type);
// Absent for every other text, the empty one among them.
std::optional<WeightType> ParsePrecision(std::string_view name);

// In which precision each matrix is held, the word embeddings among them. The classification head
// is always fp32, and the pooler bf16 where the rest is int8: together they are a hundredth of the
// weights and make the answer.
struct PrecisionPlan {
  WeightType precision = WeightType::kF32;
  // Names (ForEachPart's) of matrices that an int8 plan holds in bf16, or a bf16 plan in fp32.
  std::set<std::string> higher = {};

  WeightType TypeOf(const std::string& matrix) const;
};

// Numbers in memory that storage keeps alive; copies share it.
struct FloatTable {
  std::shared_ptr<const void> storage;
  const float* values = nullptr;
  int64_t size = 0;

  const float* data() const { return values; }
};

struct Linear {
  kernels::PackedMatrix weight;  // [in, out]
  FloatTable bias;               // [out]
};

struct Norm {
  FloatTable gamma;
  FloatTable beta;
};

struct LayerWeights {
  Linear qkv;  // of the last layer: keys and values only
  Linear q;    // of the last layer only
  Linear attention_output;
  Norm attention_norm;
  Linear intermediate;
  Linear output;
  Norm output_norm;
};

struct ClassifierWeights {
  Config config;
  kernels::EmbeddingTable word;
  FloatTable position, type;
  Norm embedding_norm;
  std::vector<LayerWeights> layers;  // [config.num_hidden_layers]
  Linear pooler;
  Linear classifier;
};

// Calls, for every part in one order,
//   visitor.Embedding(name, table, rows, columns)
//   visitor.Table(name, table, size)
//   visitor.Matrix(name, sources, linear, depth, columns)
// where name is transformers' parameter name (of embeddings and matrices without ".weight"), but
// for fused matrices, whose name ends with "self.query_key_value" or "self.key_value"; sources are
// transformers' names (without ".weight") of what lies side by side in it. weights.layers has its
// length already. Stops at the first error.
template <class Weights, class Visitor>
Status ForEachPart(Weights& weights, Visitor& visitor);

// Packs a checkpoint's weights; the checkpoint may be dropped afterwards. Nothing may be missing.
// kInvalidData: a weight that is to be quantised is not finite.
Result<ClassifierWeights> PackWeights(const Checkpoint& checkpoint, const PrecisionPlan& plan,
                                      ThreadPool& pool);

template <class Weights, class Visitor>
Status ForEachPart(Weights& weights, Visitor& visitor) {
  const Config& config = weights.config;
  const int64_t h = config.hidden_size;
  const auto norm = [&](const std::string& name, auto& part) -> Status {
    BERTIE_RETURN_IF_ERROR(visitor.Table(name + ".LayerNorm.weight", part.gamma, h));
    return visitor.Table(name + ".LayerNorm.bias", part.beta, h);
  };
  const auto matrix = [&](const std::string& name, auto& part, int64_t in, int64_t out) {
    return visitor.Matrix(name, std::vector<std::string>{name}, part, in, out);
  };
  const std::string embeddings = "bert.embeddings";
  BERTIE_RETURN_IF_ERROR(
      visitor.Embedding(embeddings + ".word_embeddings", weights.word, config.vocab_size, h));
  BERTIE_RETURN_IF_ERROR(visitor.Table(embeddings + ".position_embeddings.weight", weights.position,
                                       config.max_position_embeddings * h));
  BERTIE_RETURN_IF_ERROR(visitor.Table(embeddings + ".token_type_embeddings.weight", weights.type,
                                       config.type_vocab_size * h));
  BERTIE_RETURN_IF_ERROR(norm(embeddings, weights.embedding_norm));
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    auto& layer = weights.layers[i];
    const std::string name = "bert.encoder.layer." + std::to_string(i);
    const std::string self = name + ".attention.self.";
    const std::vector<std::string> q = {self + "query"}, kv = {self + "key", self + "value"};
    if (i + 1 < weights.layers.size()) {
      BERTIE_RETURN_IF_ERROR(
          visitor.Matrix(self + "query_key_value", {q[0], kv[0], kv[1]}, layer.qkv, h, 3 * h));
    } else {
      BERTIE_RETURN_IF_ERROR(visitor.Matrix(self + "query", q, layer.q, h, h));
      BERTIE_RETURN_IF_ERROR(visitor.Matrix(self + "key_value", kv, layer.qkv, h, 2 * h));
    }
    const int64_t wide = config.intermediate_size;
    BERTIE_RETURN_IF_ERROR(matrix(name + ".attention.output.dense", layer.attention_output, h, h));
    BERTIE_RETURN_IF_ERROR(norm(name + ".attention.output", layer.attention_norm));
    BERTIE_RETURN_IF_ERROR(matrix(name + ".intermediate.dense", layer.intermediate, h, wide));
    BERTIE_RETURN_IF_ERROR(matrix(name + ".output.dense", layer.output, wide, h));
    BERTIE_RETURN_IF_ERROR(norm(name + ".output", layer.output_norm));
  }
  BERTIE_RETURN_IF_ERROR(matrix("bert.pooler.dense", weights.pooler, h, h));
  return matrix("classifier", weights.classifier, h, config.num_labels());
}

}  // namespace bertie::model
