#include "model/script_bert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/quote.h"
#include "model/parameters.h"
#include "model/script_pattern.h"
#include "model/script_trace.h"

namespace bertie::model {
namespace {

using Kind = TraceNode::Kind;

constexpr const char* kClass = "BertForSequenceClassification";
constexpr int64_t kMaxLayers = 256;

bool Contains(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

// ---- sizes, from the tensors' shapes

class Shapes {
 public:
  Shapes(const formats::TorchScriptFile& file, const std::string& where)
      : file_(file), where_(where) {}

  Result<Config> Read() const {
    Config config;
    const auto read = [&](int64_t& size, const std::string& tensor, size_t dimension) -> Status {
      const auto found = file_.tensors.find(tensor);
      if (found == file_.tensors.end()) return Missing(tensor);
      const Shape& shape = found->second.shape;
      if (shape.size() != 2 || shape[dimension] < 1) {
        return Bad(Quote(tensor, 200) + " has the shape " + ShapeString(shape) +
                   ", expected two sizes");
      }
      size = shape[dimension];
      return {};
    };
    const std::string embeddings = "bert.embeddings.";
    BERTIE_RETURN_IF_ERROR(read(config.vocab_size, embeddings + "word_embeddings.weight", 0));
    BERTIE_RETURN_IF_ERROR(read(config.hidden_size, embeddings + "word_embeddings.weight", 1));
    BERTIE_RETURN_IF_ERROR(
        read(config.max_position_embeddings, embeddings + "position_embeddings.weight", 0));
    BERTIE_RETURN_IF_ERROR(
        read(config.type_vocab_size, embeddings + "token_type_embeddings.weight", 0));
    BERTIE_RETURN_IF_ERROR(
        read(config.intermediate_size, LayerName(0) + "intermediate.dense.weight", 0));
    int64_t labels = 0;
    BERTIE_RETURN_IF_ERROR(read(labels, "classifier.weight", 0));
    if (labels > 100'000) return Bad("classifier.weight has " + std::to_string(labels) + " rows");
    for (int64_t i = 0; i < labels; ++i) config.labels.push_back("LABEL_" + std::to_string(i));
    config.num_hidden_layers = 0;
    while (
        config.num_hidden_layers < kMaxLayers &&
        file_.modules.contains("bert.encoder.layer." + std::to_string(config.num_hidden_layers))) {
      ++config.num_hidden_layers;
    }
    return config;
  }

  // Every parameter of a BERT of that size and no other.
  Result<std::vector<NamedTensor>> Take(const Config& config) const {
    std::vector<NamedTensor> tensors;
    std::set<std::string> known = {"bert.embeddings.position_ids",
                                   "bert.embeddings.token_type_ids"};
    for (const ParameterSpec& spec : ParameterSpecs(config)) {
      const auto found = file_.tensors.find(spec.name);
      if (found == file_.tensors.end()) return Missing(spec.name);
      const TensorView& tensor = found->second;
      if (tensor.shape != spec.shape) {
        return Bad("tensor " + Quote(spec.name, 200) + ": found the shape " +
                   ShapeString(tensor.shape) + ", expected " + ShapeString(spec.shape));
      }
      constexpr std::array kFloating = {DType::kF32, DType::kF16, DType::kBF16, DType::kF64};
      if (std::find(kFloating.begin(), kFloating.end(), tensor.dtype) == kFloating.end()) {
        return Bad("tensor " + Quote(spec.name, 200) + ": found " + DTypeName(tensor.dtype) +
                   ", expected floating-point numbers");
      }
      known.insert(spec.name);
      tensors.push_back({spec.name, tensor});
    }
    for (const auto& [name, tensor] : file_.tensors) {
      if (known.contains(name)) continue;
      return Error{ErrorCode::kUnsupported, where_ + ": found the tensor " + Quote(name, 200) +
                                                ", which no " + kClass + " has"};
    }
    return tensors;
  }

 private:
  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, where_ + ": " + what};
  }

  Error Missing(const std::string& tensor) const {
    if (file_.tensors.empty()) {
      return {ErrorCode::kUnsupported,
              where_ +
                  ": found a frozen module, whose weights are constants without names; "
                  "expected one that torch.jit.freeze or optimize_for_inference has not seen"};
    }
    return Bad("no tensor " + Quote(tensor, 200) + ", expected all that a " + kClass + " has");
  }

  const formats::TorchScriptFile& file_;
  const std::string& where_;
};

// ---- the graph, from the logits back to the ids

class BertMatcher {
 public:
  BertMatcher(const formats::TorchScriptFile& file, const ScriptTrace& trace,
              const std::string& where, Config& config, ScriptInfo& info)
      : file_(file), trace_(trace), where_(where), patterns_(file), config_(config), info_(info) {}

  Status Match() {
    BERTIE_ASSIGN_OR_RETURN(TraceRef node, Logits());
    BERTIE_ASSIGN_OR_RETURN(node, Linear(node, "classifier"));
    BERTIE_ASSIGN_OR_RETURN(node, Pooled(node));
    for (int64_t layer = config_.num_hidden_layers; layer-- > 0;) {
      BERTIE_ASSIGN_OR_RETURN(node, Layer(node, LayerName(layer)));
    }
    BERTIE_RETURN_IF_ERROR(Embeddings(node));
    BERTIE_RETURN_IF_ERROR(Mask());
    config_.num_attention_heads = heads_;
    config_.layer_norm_eps = static_cast<float>(*epsilon_);
    return {};
  }

 private:
  // "looked for WHAT, found ...".
  Error Expected(const std::string& what, TraceRef found) const {
    return {ErrorCode::kUnsupported, where_ + ": in the code, looked for " + what + ", found " +
                                         ScriptPatterns::Describe(found)};
  }

  // forward gives the logits, or a tuple or dict that begins with them.
  Result<TraceRef> Logits() const {
    TraceRef node = trace_.result;
    if (node->kind == Kind::kDict) {
      for (size_t i = 0; i + 1 < node->operands.size(); i += 2) {
        if (node->operands[i]->text == "logits") return node->operands[i + 1];
      }
      return Expected("the logits that forward returns", node);
    }
    if (node->kind == Kind::kList && !node->operands.empty()) return node->operands[0];
    return node;
  }

  Result<TraceRef> Linear(TraceRef node, const std::string& module) const {
    node = ScriptPatterns::Plain(node);
    const TraceRef input = ScriptPatterns::LinearInput(node, module);
    if (input == nullptr) {
      return Expected("the linear layer " + module +
                          " (torch.linear, addmm or matmul of its weight"
                          " and bias)",
                      node);
    }
    return ScriptPatterns::Plain(input);
  }

  Result<TraceRef> LayerNorm(TraceRef node, const std::string& module) {
    node = ScriptPatterns::Plain(node);
    const auto norm = patterns_.FindLayerNorm(node, module);
    if (!norm) return Expected("torch.layer_norm of " + module + " with a constant eps", node);
    if (!(norm->epsilon > 0 && norm->epsilon < 1) ||
        epsilon_.value_or(norm->epsilon) != norm->epsilon) {
      return Expected(
          "the eps of every torch.layer_norm to be the same number below 1 at " + module, node);
    }
    epsilon_ = norm->epsilon;
    return ScriptPatterns::Plain(norm->input);
  }

  // Tanh of the pooler's layer over the first token.
  Result<TraceRef> Pooled(TraceRef node) const {
    if (!node->IsOp("torch.tanh") || node->operands.size() != 1) {
      return Expected("torch.tanh of the pooler", node);
    }
    BERTIE_ASSIGN_OR_RETURN(node, Linear(node->operands[0], "bert.pooler.dense"));
    const auto is = [](TraceRef value, int64_t expected) {
      return value != nullptr && value->kind == Kind::kInteger && value->integer == expected;
    };
    if (!node->IsOp("torch.select") || !is(node->Argument("dim", 1), 1) ||
        !is(node->Argument("index", 2), 0)) {
      return Expected("torch.select of the first token", node);
    }
    node = ScriptPatterns::Plain(node->operands[0]);
    while (node->IsOp("torch.slice") && is(node->Argument("start", 2), 0)) {
      node = ScriptPatterns::Plain(node->operands[0]);
    }
    return node;
  }

  Result<TraceRef> Layer(TraceRef node, const std::string& layer) {
    BERTIE_ASSIGN_OR_RETURN(node, LayerNorm(node, layer + "output.LayerNorm"));
    BERTIE_ASSIGN_OR_RETURN(const auto outer, Residual(node, layer + "output.dense"));
    const ScriptPatterns::Activation activation = patterns_.FindActivation(outer.first);
    if (activation.name != "gelu") {
      return Error{ErrorCode::kUnsupported,
                   where_ + ": the activation of " + layer + "intermediate is " + activation.name +
                       ", expected gelu (with erf), the only one supported"};
    }
    BERTIE_ASSIGN_OR_RETURN(const TraceRef between,
                            Linear(activation.input, layer + "intermediate.dense"));
    if (between != outer.second) {
      return Expected("the residual of " + layer + "output to be what intermediate takes",
                      outer.second);
    }
    BERTIE_ASSIGN_OR_RETURN(node, LayerNorm(between, layer + "attention.output.LayerNorm"));
    BERTIE_ASSIGN_OR_RETURN(const auto inner, Residual(node, layer + "attention.output.dense"));
    BERTIE_ASSIGN_OR_RETURN(const TraceRef input,
                            Attention(inner.first, layer + "attention.self."));
    if (input != inner.second) {
      return Expected("the residual of " + layer + "attention to be its input", inner.second);
    }
    return input;
  }

  // linear(x) + y: x and y.
  Result<std::pair<TraceRef, TraceRef>> Residual(TraceRef node, const std::string& module) const {
    const auto sum = ScriptPatterns::Sum(node);
    if (!sum) return Expected("the sum of " + module + " and its residual", node);
    const bool first =
        ScriptPatterns::LinearInput(ScriptPatterns::Plain(sum->first), module) != nullptr;
    BERTIE_ASSIGN_OR_RETURN(const TraceRef input, Linear(first ? sum->first : sum->second, module));
    return std::pair(input, ScriptPatterns::Plain(first ? sum->second : sum->first));
  }

  Result<TraceRef> Attention(TraceRef node, const std::string& self) {
    const auto merged = patterns_.FindReshape(node, 3);
    if (!merged || (merged->sizes[2] != config_.hidden_size && merged->sizes[2] != -1)) {
      return Expected("torch.view or reshape of " + self + " to the hidden size", node);
    }
    node = ScriptPatterns::Plain(merged->input);
    const TraceRef context = patterns_.SwapMiddle(node);
    if (context == nullptr) return Expected("the heads of " + self + " to be put together", node);
    node = ScriptPatterns::Plain(context);
    return node->IsOp("torch.scaled_dot_product_attention") ? FusedAttention(node, self)
                                                            : PlainAttention(node, self);
  }

  Result<TraceRef> FusedAttention(TraceRef node, const std::string& self) {
    const TraceRef causal = node->Argument("is_causal", 5);
    const TraceRef dropout = node->Argument("dropout_p", 4);
    if (node->operands.size() < 3 || (causal != nullptr && causal->IsTrue()) ||
        (dropout != nullptr && patterns_.Number(dropout) != 0)) {
      return Expected("attention of " + self + " to every token without dropout", node);
    }
    const TraceRef scale = node->Argument("scale", 6);
    BERTIE_ASSIGN_OR_RETURN(const TraceRef input, Heads(node->operands[0], self + "query"));
    if (scale != nullptr && scale->kind != Kind::kNone) {
      BERTIE_RETURN_IF_ERROR(CheckScale(1 / patterns_.Number(scale).value_or(0), self, node));
    }
    BERTIE_RETURN_IF_ERROR(SameInput(node->operands[1], self + "key", input));
    BERTIE_RETURN_IF_ERROR(SameInput(node->operands[2], self + "value", input));
    const TraceRef mask = node->Argument("attn_mask", 3);
    masks_.insert(mask == nullptr || mask->kind == Kind::kNone ? nullptr : mask);
    return input;
  }

  // softmax(Q K^T / sqrt(head size) + mask) V
  Result<TraceRef> PlainAttention(TraceRef node, const std::string& self) {
    if (!node->IsOp("torch.matmul") || node->operands.size() != 2) {
      return Expected("torch.matmul of " + self + "value", node);
    }
    const TraceRef values = node->operands[1];
    node = ScriptPatterns::Plain(node->operands[0]);
    const TraceRef over = node->Argument("dim", 1);
    if (!node->IsOp("torch.softmax") || over == nullptr || over->kind != Kind::kInteger ||
        (over->integer != -1 && over->integer != 3)) {
      return Expected("torch.softmax over the last dimension in " + self, node);
    }
    node = ScriptPatterns::Plain(node->operands[0]);
    TraceRef mask = nullptr;
    if (const auto sum = ScriptPatterns::Sum(node)) {
      mask = sum->second;
      node = ScriptPatterns::Plain(sum->first);
    }
    masks_.insert(mask);
    std::optional<double> divisor;
    if (node->IsOp("torch.div") && node->operands.size() == 2) {
      divisor = patterns_.Number(node->operands[1]);
    } else if (const auto product = ScriptPatterns::Product(node)) {
      divisor = 1 / patterns_.Number(product->second).value_or(0);
    }
    if (!divisor) return Expected("the division of the scores in " + self, node);
    const TraceRef scores = ScriptPatterns::Plain(node->operands[0]);
    if (!scores->IsOp("torch.matmul") || scores->operands.size() != 2) {
      return Expected("torch.matmul of " + self + "query and key", scores);
    }
    BERTIE_ASSIGN_OR_RETURN(const TraceRef input, Heads(scores->operands[0], self + "query"));
    BERTIE_RETURN_IF_ERROR(CheckScale(*divisor, self, node));
    const TraceRef keys = patterns_.SwapLast(ScriptPatterns::Plain(scores->operands[1]));
    if (keys == nullptr) return Expected("torch.transpose of " + self + "key", scores->operands[1]);
    BERTIE_RETURN_IF_ERROR(SameInput(keys, self + "key", input));
    BERTIE_RETURN_IF_ERROR(SameInput(values, self + "value", input));
    return input;
  }

  Status CheckScale(double divisor, const std::string& self, TraceRef node) const {
    const double expected =
        std::sqrt(static_cast<double>(config_.hidden_size) / static_cast<double>(heads_));
    if (std::abs(divisor - expected) <= 1e-4 * expected) return {};
    return Expected("the scores of " + self + " to be divided by " + std::to_string(expected),
                    node);
  }

  // linear(x) as [batch, heads, tokens, head size]: gives x, and learns the number of heads.
  Result<TraceRef> Heads(TraceRef node, const std::string& module) {
    node = ScriptPatterns::Plain(node);
    const TraceRef split = patterns_.SwapMiddle(node);
    const TraceRef whole = split == nullptr ? node : ScriptPatterns::Plain(split);
    const auto view = patterns_.FindReshape(whole, 4);
    if (split == nullptr || !view) {
      return Expected("torch.view of " + module + " to [batch, tokens, heads, head size]", whole);
    }
    int64_t heads = view->sizes[2];
    int64_t size = view->sizes[3];
    if (heads == -1 && size > 0) heads = config_.hidden_size / size;
    if (size == -1 && heads > 0) size = config_.hidden_size / heads;
    if (heads < 1 || size < 1 || heads > config_.hidden_size || size > config_.hidden_size ||
        heads * size != config_.hidden_size || (heads_ != 0 && heads != heads_)) {
      return Error{
          ErrorCode::kInvalidData,
          where_ + ": in the code, " + module + " is viewed as " + std::to_string(view->sizes[2]) +
              " heads of " + std::to_string(view->sizes[3]) +
              "; expected the same constants everywhere, whose product is the hidden size " +
              std::to_string(config_.hidden_size)};
    }
    heads_ = heads;
    return Linear(view->input, module);
  }

  Status SameInput(TraceRef node, const std::string& module, TraceRef input) {
    BERTIE_ASSIGN_OR_RETURN(const TraceRef found, Heads(node, module));
    if (found == input) return {};
    return Expected("the input of " + module + " to be the query's", found);
  }

  // ---- what the layers begin with

  Status Embeddings(TraceRef node) {
    const std::string prefix = "bert.embeddings.";
    BERTIE_ASSIGN_OR_RETURN(node, LayerNorm(node, prefix + "LayerNorm"));
    std::map<std::string, TraceRef> indices;
    std::vector<TraceRef> open = {node};
    while (!open.empty()) {
      const TraceRef next = ScriptPatterns::Plain(open.back());
      open.pop_back();
      if (const auto sum = ScriptPatterns::Sum(next); sum && open.size() < 4) {
        open.push_back(sum->first);
        open.push_back(sum->second);
        continue;
      }
      const bool lookup = next->IsOp("torch.embedding") && next->operands.size() >= 2 &&
                          next->operands[0]->kind == Kind::kTensor;
      if (!lookup || !indices.emplace(next->operands[0]->text, next->operands[1]).second) {
        return Expected("a sum of torch.embedding of words, positions and token types", next);
      }
    }
    const TraceRef words = Find(indices, prefix + "word_embeddings.weight");
    const TraceRef positions = Find(indices, prefix + "position_embeddings.weight");
    const TraceRef types = Find(indices, prefix + "token_type_embeddings.weight");
    if (indices.size() != 3 || words == nullptr || positions == nullptr || types == nullptr) {
      return Expected("a sum of torch.embedding of words, positions and token types", node);
    }
    if (words->kind != Kind::kInput) return Expected("an input with the ids of words", words);
    ids_ = words->text;
    BERTIE_RETURN_IF_ERROR(Positions(positions));
    const TraceSources sources = FindSources(types, patterns_);
    if (sources.inputs.size() > 1) return Expected("token types of one input or none", types);
    info_.takes_types = !sources.inputs.empty();
    return {};
  }

  static TraceRef Find(const std::map<std::string, TraceRef>& indices, const std::string& name) {
    const auto found = indices.find(name);
    return found == indices.end() ? nullptr : found->second;
  }

  // 0, 1, 2, ...: of torch.arange, of the buffer position_ids, or given by the caller.
  Status Positions(TraceRef node) const {
    const TraceSources sources = FindSources(node, patterns_);
    const std::string buffer = "bert.embeddings.position_ids";
    const bool counted = Contains(sources.ops, "torch.arange");
    const bool stored = sources.tensors == std::vector<std::string>{buffer};
    const bool given = sources.inputs.size() == 1 && sources.inputs[0] != ids_;
    if (!given && !sources.inputs.empty()) return Expected("positions that count from 0", node);
    if (!counted && !stored && !given) return Expected("positions that count from 0", node);
    if (!stored) return {};
    const TensorView& ids = file_.tensors.at(buffer);
    for (int64_t i = 0; i < ids.elements(); ++i) {
      int64_t value = -1;
      if (ids.dtype == DType::kI64) {
        std::memcpy(&value, ids.data + static_cast<size_t>(i) * sizeof(value), sizeof(value));
      }
      if (value != i) {
        return Error{ErrorCode::kUnsupported,
                     where_ + ": " + buffer + " does not count from 0, as a BERT's does"};
      }
    }
    return {};
  }

  // What is added to the scores: nothing where the mask is 1, much below 0 elsewhere.
  Status Mask() {
    if (masks_.size() != 1) {
      return Error{ErrorCode::kUnsupported,
                   where_ + ": in the code, looked for one attention mask in all layers, found " +
                       std::to_string(masks_.size())};
    }
    const TraceRef mask = *masks_.begin();
    if (mask == nullptr) return {};
    const TraceSources sources = FindSources(mask, patterns_);
    for (const std::string& op : sources.ops) {
      constexpr std::array kKnown = {"int",
                                     "ops.prim.NumToTensor",
                                     "torch.add",
                                     "torch.detach",
                                     "torch.device",
                                     "torch.expand",
                                     "torch.eq",
                                     "torch.lift_fresh",
                                     "torch.masked_fill",
                                     "torch.mul",
                                     "torch.ones",
                                     "torch.ones_like",
                                     "torch.rsub",
                                     "torch.size",
                                     "torch.slice",
                                     "torch.sub",
                                     "torch.to",
                                     "torch.unsqueeze",
                                     "torch.clone",
                                     "torch.masked_fill_",
                                     "torch.bitwise_not",
                                     "torch.logical_not",
                                     "torch.type_as"};
      if (std::find(kKnown.begin(), kKnown.end(), op) == kKnown.end()) {
        return Error{ErrorCode::kUnsupported, where_ +
                                                  ": in the code, the attention mask is made "
                                                  "by " +
                                                  Quote(op, 80) + ", which no BERT's is"};
      }
    }
    const bool low = std::any_of(sources.numbers.begin(), sources.numbers.end(),
                                 [](double number) { return number <= -1000; });
    const bool made =
        Contains(sources.ops, "torch.ones") || Contains(sources.ops, "torch.ones_like");
    const bool given = sources.inputs.size() == 1 && sources.inputs[0] != ids_;
    if (!sources.tensors.empty() || !low || (!given && !(made && sources.inputs.empty()))) {
      return Expected("an attention mask of one input, or of torch.ones", mask);
    }
    if (given) info_.mask = sources.inputs[0];
    return {};
  }

  const formats::TorchScriptFile& file_;
  const ScriptTrace& trace_;
  const std::string& where_;
  const ScriptPatterns patterns_;
  Config& config_;
  ScriptInfo& info_;
  int64_t heads_ = 0;
  std::optional<double> epsilon_;
  std::set<TraceRef> masks_;  // null: none
  std::string ids_;
};

Status CheckClass(const formats::TorchScriptFile& file, const std::string& where) {
  const std::string& type = file.modules.at("");
  const std::string name = type.substr(type.rfind('.') + 1);
  if (name == kClass) return {};
  return Error{ErrorCode::kUnsupported, where + ": found a TorchScript module of the class " +
                                            Quote(name, 120) + ", expected " + kClass};
}

}  // namespace

Result<ScriptBert> ReadScriptBert(formats::TorchScriptFile file, const std::string& where) {
  BERTIE_RETURN_IF_ERROR(CheckClass(file, where));
  const Shapes shapes(file, where);
  ScriptBert bert;
  BERTIE_ASSIGN_OR_RETURN(bert.config, shapes.Read());
  BERTIE_ASSIGN_OR_RETURN(bert.tensors, shapes.Take(bert.config));
  BERTIE_ASSIGN_OR_RETURN(const ScriptTrace trace, FollowForward(file, where));
  BERTIE_RETURN_IF_ERROR(BertMatcher(file, trace, where, bert.config, bert.info).Match());
  bert.info.torch = formats::TorchReleases(file.version);
  bert.info.arguments = trace.inputs;
  if (!file.traced_inputs.empty() && file.traced_inputs[0].size() == 2) {
    bert.info.length = file.traced_inputs[0][1];
  }
  bert.storage = std::move(file.storage);
  return bert;
}

Result<ScriptBert> ReadScriptBert(const std::filesystem::path& archive) {
  BERTIE_ASSIGN_OR_RETURN(formats::TorchScriptFile file, formats::TorchScriptFile::Open(archive));
  return ReadScriptBert(std::move(file), archive.string());
}

}  // namespace bertie::model
