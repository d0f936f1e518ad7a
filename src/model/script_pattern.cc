#include "model/script_pattern.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/quote.h"

namespace bertie::model {
namespace {

using Kind = TraceNode::Kind;
using Pair = std::optional<std::pair<TraceRef, TraceRef>>;

bool IsTensor(TraceRef node, const std::string& path) {
  return node != nullptr && node->kind == Kind::kTensor && node->text == path;
}

bool Near(double value, double expected) { return std::abs(value - expected) < 1e-5; }

// Dimensions from behind are counted from the front, of four.
std::optional<int64_t> Dimension(TraceRef node) {
  if (node == nullptr || node->kind != Kind::kInteger) return std::nullopt;
  return node->integer < 0 ? node->integer + 4 : node->integer;
}

bool IsTranspose(TraceRef node, int64_t first, int64_t second) {
  if (!node->IsOp("torch.transpose")) return false;
  const auto a = Dimension(node->Argument("dim0", 1));
  const auto b = Dimension(node->Argument("dim1", 2));
  return (a == first && b == second) || (a == second && b == first);
}

// matmul(x, t(W)): gives x.
TraceRef MatMulInput(TraceRef node, const std::string& weight) {
  if (node == nullptr || !node->IsOp("torch.matmul") || node->operands.size() != 2) return nullptr;
  const TraceRef transposed = node->operands[1];
  const bool fits = transposed->IsOp("torch.t") && transposed->operands.size() == 1 &&
                    IsTensor(transposed->operands[0], weight);
  return fits ? node->operands[0] : nullptr;
}

}  // namespace

TraceRef ScriptPatterns::Plain(TraceRef node) {
  for (;;) {
    if (node->kind != Kind::kOp || node->operands.empty()) return node;
    const bool off = node->IsOp("torch.dropout") || node->IsOp("torch.dropout_");
    if (off) {
      const TraceRef train = node->Argument("train", 2);
      if (train == nullptr || train->kind != Kind::kBool || train->IsTrue()) return node;
    }
    if (!off && !node->IsOp("torch.contiguous") && !node->IsOp("torch.to") &&
        !node->IsOp("torch.detach") && !node->IsOp("torch.clone")) {
      return node;
    }
    node = node->operands[0];
  }
}

std::string ScriptPatterns::Describe(TraceRef node) {
  switch (node->kind) {
    case Kind::kOp:
      if (node->IsOp("torch.dropout")) return "torch.dropout that is on (a trace in training mode)";
      return Quote(node->text, 80);
    case Kind::kInput:
      return "the input " + Quote(node->text);
    case Kind::kTensor:
      return Quote(node->text, 200);
    case Kind::kConstant:
      return "CONSTANTS.c" + std::to_string(node->integer);
    default:
      return "a value that is no tensor";
  }
}

Pair ScriptPatterns::Sum(TraceRef node) {
  if ((!node->IsOp("torch.add") && !node->IsOp("torch.add_")) || node->operands.size() < 2) {
    return std::nullopt;
  }
  const TraceRef alpha = node->Argument("alpha", 2);
  if (alpha != nullptr && !(alpha->kind == Kind::kInteger && alpha->integer == 1)) {
    return std::nullopt;
  }
  return std::pair(node->operands[0], node->operands[1]);
}

Pair ScriptPatterns::Product(TraceRef node) {
  const bool fits =
      (node->IsOp("torch.mul") || node->IsOp("torch.mul_")) && node->operands.size() == 2;
  return fits ? Pair(std::pair(node->operands[0], node->operands[1])) : std::nullopt;
}

TraceRef ScriptPatterns::LinearInput(TraceRef node, const std::string& module) {
  const std::string weight = module + ".weight";
  const std::string bias = module + ".bias";
  const std::vector<TraceRef>& operands = node->operands;
  if (node->IsOp("torch.linear") && operands.size() == 3) {
    return IsTensor(operands[1], weight) && IsTensor(operands[2], bias) ? operands[0] : nullptr;
  }
  if (node->IsOp("torch.addmm") && operands.size() >= 3) {
    for (const auto& [name, place] : {std::pair("beta", 3u), std::pair("alpha", 4u)}) {
      const TraceRef factor = node->Argument(name, place);
      if (factor != nullptr && !(factor->kind == Kind::kInteger && factor->integer == 1)) {
        return nullptr;
      }
    }
    const TraceRef transposed = operands[2];
    const bool fits = IsTensor(operands[0], bias) && transposed->IsOp("torch.t") &&
                      transposed->operands.size() == 1 && IsTensor(transposed->operands[0], weight);
    return fits ? operands[1] : nullptr;
  }
  const Pair sum = Sum(node);
  if (!sum) return nullptr;
  if (IsTensor(sum->second, bias)) return MatMulInput(sum->first, weight);
  if (IsTensor(sum->first, bias)) return MatMulInput(sum->second, weight);
  return nullptr;
}

std::optional<ScriptPatterns::LayerNorm> ScriptPatterns::FindLayerNorm(
    TraceRef node, const std::string& module) const {
  if (!node->IsOp("torch.layer_norm") || node->operands.empty()) return std::nullopt;
  const TraceRef weight = node->Argument("weight", 2);
  const TraceRef bias = node->Argument("bias", 3);
  const TraceRef epsilon = node->Argument("eps", 4);
  if (!IsTensor(weight, module + ".weight") || !IsTensor(bias, module + ".bias") ||
      epsilon == nullptr) {
    return std::nullopt;
  }
  const auto number = Number(epsilon);
  if (!number) return std::nullopt;
  return LayerNorm{node->operands[0], *number};
}

std::optional<double> ScriptPatterns::Number(TraceRef node) const {
  for (;;) {
    switch (node->kind) {
      case Kind::kInteger:
        return static_cast<double>(node->integer);
      case Kind::kFloat:
        return node->number;
      case Kind::kConstant: {
        const TensorView& tensor = file_.constants[static_cast<size_t>(node->integer)].tensor;
        if (tensor.elements() != 1) return std::nullopt;
        if (tensor.dtype == DType::kI64) {
          int64_t integer = 0;
          std::memcpy(&integer, tensor.data, sizeof(integer));
          return static_cast<double>(integer);
        }
        if (tensor.dtype == DType::kF64) {
          double number = 0;
          std::memcpy(&number, tensor.data, sizeof(number));
          return number;
        }
        float number = 0;
        if (!CopyToFloat(tensor, &number)) return std::nullopt;
        return number;
      }
      case Kind::kOp: {
        const bool same = node->IsOp("int") || node->IsOp("float") || node->IsOp("torch.to") ||
                          node->IsOp("torch.detach") || node->IsOp("ops.prim.NumToTensor") ||
                          node->IsOp("torch.tensor");
        if (!same || node->operands.empty()) return std::nullopt;
        node = node->operands[0];
        break;
      }
      default:
        return std::nullopt;
    }
  }
}

TraceRef ScriptPatterns::SwapMiddle(TraceRef node) const {
  if (node->kind != Kind::kOp || node->operands.empty()) return nullptr;
  if (IsTranspose(node, 1, 2)) return node->operands[0];
  if (!node->IsOp("torch.permute") || node->operands.size() != 2 ||
      node->operands[1]->kind != Kind::kList) {
    return nullptr;
  }
  std::vector<int64_t> order;
  for (const TraceRef item : node->operands[1]->operands) {
    order.push_back(Dimension(item).value_or(-1));
  }
  return order == std::vector<int64_t>{0, 2, 1, 3} ? node->operands[0] : nullptr;
}

TraceRef ScriptPatterns::SwapLast(TraceRef node) const {
  const bool fits = node->kind == Kind::kOp && !node->operands.empty() && IsTranspose(node, 2, 3);
  return fits ? node->operands[0] : nullptr;
}

std::optional<ScriptPatterns::Reshape> ScriptPatterns::FindReshape(TraceRef node,
                                                                   size_t dimensions) const {
  if ((!node->IsOp("torch.view") && !node->IsOp("torch.reshape")) || node->operands.size() != 2 ||
      node->operands[1]->kind != Kind::kList || node->operands[1]->operands.size() != dimensions) {
    return std::nullopt;
  }
  Reshape reshape{node->operands[0], {}};
  for (const TraceRef size : node->operands[1]->operands) {
    const auto number = Number(size);
    const bool known = number && *number >= -1 && *number < 1e9 && *number == std::floor(*number);
    reshape.sizes.push_back(known ? static_cast<int64_t>(*number) : -2);
  }
  return reshape;
}

// x * 0.5 * (1 + erf(x / sqrt(2))), however its factors are ordered.
TraceRef ScriptPatterns::ErfGelu(TraceRef node) const {
  std::vector<TraceRef> factors;
  double scale = 1;
  std::vector<TraceRef> open = {node};
  while (!open.empty() && factors.size() <= 4) {
    const TraceRef next = open.back();
    open.pop_back();
    if (const Pair product = Product(next)) {
      open.push_back(product->first);
      open.push_back(product->second);
    } else if (const auto number = Number(next)) {
      scale *= *number;
    } else {
      factors.push_back(next);
    }
  }
  if (factors.size() != 2 || !Near(scale, 0.5)) return nullptr;
  for (size_t i = 0; i < 2; ++i) {
    const Pair sum = Sum(factors[i]);
    if (!sum) continue;
    const bool one_first = Near(Number(sum->first).value_or(0), 1);
    if (!one_first && !Near(Number(sum->second).value_or(0), 1)) continue;
    const TraceRef erf = one_first ? sum->second : sum->first;
    if (!erf->IsOp("torch.erf") || erf->operands.size() != 1) continue;
    const TraceRef scaled = erf->operands[0];
    if (scaled->operands.size() != 2 || scaled->operands[0] != factors[1 - i]) continue;
    const double by = Number(scaled->operands[1]).value_or(0);
    const bool right = scaled->IsOp("torch.div")
                           ? Near(by, std::sqrt(2.0))
                           : scaled->IsOp("torch.mul") && Near(by, std::sqrt(0.5));
    if (right) return factors[1 - i];
  }
  return nullptr;
}

ScriptPatterns::Activation ScriptPatterns::FindActivation(TraceRef node) const {
  if (node->IsOp("torch.gelu") && !node->operands.empty()) {
    const TraceRef form = node->Argument("approximate", 1);
    const bool exact = form == nullptr || form->text == "none";
    return {exact ? "gelu" : "gelu_new", node->operands[0]};
  }
  for (const char* name : {"relu", "tanh"}) {
    if (node->IsOp(std::string("torch.") + name) && node->operands.size() == 1) {
      return {name, node->operands[0]};
    }
  }
  if (const TraceRef input = ErfGelu(node)) return {"gelu", input};
  const TraceSources sources = FindSources(node, *this);
  if (std::binary_search(sources.ops.begin(), sources.ops.end(), "torch.tanh")) {
    return {"gelu_new", nullptr};
  }
  return {Describe(node), nullptr};
}

TraceSources FindSources(TraceRef node, const ScriptPatterns& patterns) {
  std::set<std::string> inputs, tensors, ops;
  std::set<TraceRef> seen;
  TraceSources sources;
  std::vector<TraceRef> open = {node};
  while (!open.empty()) {
    const TraceRef next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) continue;
    if (next->kind == Kind::kInput) inputs.insert(next->text);
    if (next->kind == Kind::kTensor) tensors.insert(next->text);
    if (const auto number = patterns.Number(next)) {
      sources.numbers.push_back(*number);
      continue;
    }
    if (next->kind == Kind::kOp) ops.insert(next->text);
    if (next->IsOp("torch.size") || next->IsOp("torch.zeros_like") ||
        next->IsOp("torch.ones_like")) {
      continue;
    }
    open.insert(open.end(), next->operands.begin(), next->operands.end());
    for (const auto& [name, value] : next->keywords) open.push_back(value);
  }
  sources.inputs.assign(inputs.begin(), inputs.end());
  sources.tensors.assign(tensors.begin(), tensors.end());
  sources.ops.assign(ops.begin(), ops.end());
  return sources;
}

}  // namespace bertie::model
