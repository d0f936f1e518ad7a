// Small patterns in the graph of a trace (script_trace.h) that make up a BERT.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/torchscript.h"
#include "model/script_trace.h"

namespace bertie::model {

// Immutable; each function gives null, or nothing, where the node is something else.
class ScriptPatterns {
 public:
  explicit ScriptPatterns(const formats::TorchScriptFile& file) : file_(file) {}

  // The node behind those that change no value: dropout that is off, contiguous, to, detach.
  static TraceRef Plain(TraceRef node);

  // What a node is, for messages: "torch.view", "the input 'input_ids'".
  static std::string Describe(TraceRef node);

  // The two sides of a plain sum; of a product.
  static std::optional<std::pair<TraceRef, TraceRef>> Sum(TraceRef node);
  static std::optional<std::pair<TraceRef, TraceRef>> Product(TraceRef node);

  // The input of a Linear with the weights module.weight and module.bias, in any of the forms in
  // which PyTorch's releases trace it.
  static TraceRef LinearInput(TraceRef node, const std::string& module);

  struct LayerNorm {
    TraceRef input = nullptr;
    double epsilon = 0;
  };
  // One with the weights module.weight and module.bias.
  std::optional<LayerNorm> FindLayerNorm(TraceRef node, const std::string& module) const;

  // A number, a constant of one element, or either turned into another type.
  std::optional<double> Number(TraceRef node) const;

  // torch.permute(x, [0, 2, 1, 3]) or torch.transpose(x, 1, 2): gives x.
  TraceRef SwapMiddle(TraceRef node) const;
  // torch.transpose(x, -1, -2) or (2, 3) of a tensor with four dimensions: gives x.
  TraceRef SwapLast(TraceRef node) const;
  // torch.view or torch.reshape to that many dimensions: x, and the sizes that are constants (-1:
  // to be found out, -2: computed).
  struct Reshape {
    TraceRef input = nullptr;
    std::vector<int64_t> sizes;
  };
  std::optional<Reshape> FindReshape(TraceRef node, size_t dimensions) const;

  // "gelu", "gelu_new", "relu" or "tanh" with what it is applied to; else the operators' names.
  struct Activation {
    std::string name;
    TraceRef input = nullptr;
  };
  Activation FindActivation(TraceRef node) const;

 private:
  TraceRef ErfGelu(TraceRef node) const;

  const formats::TorchScriptFile& file_;
};

// What a value is computed from, by content and not by size alone.
struct TraceSources {
  std::vector<std::string> inputs;   // of forward, sorted
  std::vector<std::string> tensors;  // paths of parameters and buffers, sorted
  std::vector<std::string> ops;      // names, sorted
  std::vector<double> numbers;       // constants of one element
};
TraceSources FindSources(TraceRef node, const ScriptPatterns& patterns);

}  // namespace bertie::model
