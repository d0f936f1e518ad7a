#include "serve/v2/v2_inference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/quote.h"
#include "serve/bad_input.h"

namespace bertie::serve {
namespace {

using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;
using Texts = std::vector<std::string>;
using Integers = std::vector<int64_t>;

constexpr std::string_view kText = "text";
constexpr std::string_view kTextPair = "text_pair";
constexpr std::string_view kInputIds = "input_ids";
constexpr std::string_view kAttentionMask = "attention_mask";
constexpr std::string_view kTokenTypeIds = "token_type_ids";
constexpr std::string_view kLogits = "logits";
constexpr std::string_view kProbabilities = "probabilities";
constexpr std::string_view kLabel = "label";

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? "," : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string NamesOf(const std::vector<V2TensorType>& types) {
  std::string names;
  for (const V2TensorType& type : types) {
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  }
  return names;
}

// The request's inputs by what they are for; null: not there.
struct Named {
  V2Tensor* text = nullptr;
  V2Tensor* text_pair = nullptr;
  V2Tensor* input_ids = nullptr;
  V2Tensor* attention_mask = nullptr;
  V2Tensor* token_type_ids = nullptr;
};

MaybeRefusal NameInputs(std::vector<V2Tensor>& inputs, Named& out) {
  for (V2Tensor& input : inputs) {
    V2Tensor** place = input.name == kText            ? &out.text
                       : input.name == kTextPair      ? &out.text_pair
                       : input.name == kInputIds      ? &out.input_ids
                       : input.name == kAttentionMask ? &out.attention_mask
                       : input.name == kTokenTypeIds  ? &out.token_type_ids
                                                      : nullptr;
    if (!place) {
      return InvalidInput("unexpected input " + Quote(input.name) + "; expected " +
                          NamesOf(V2Inputs()));
    }
    if (*place) return InvalidInput("the input " + input.name + " is there twice");
    *place = &input;
    const bool texts = place == &out.text || place == &out.text_pair;
    if (texts != std::holds_alternative<Texts>(input.data)) {
      return InvalidInput("the input " + input.name + " has the datatype " + input.datatype +
                          "; expected " + (texts ? "BYTES" : "INT64 or INT32"));
    }
  }
  if ((out.text != nullptr) == (out.input_ids != nullptr)) {
    return InvalidInput(out.text
                            ? "the inputs text and input_ids are both there; expected one of them"
                            : "there is no input text and no input_ids; expected one of them");
  }
  if (out.text && (out.attention_mask || out.token_type_ids)) {
    return InvalidInput("attention_mask and token_type_ids go with input_ids, not with text");
  }
  if (out.input_ids && out.text_pair) return InvalidInput("text_pair goes with text");
  return std::nullopt;
}

MaybeRefusal CheckCount(const V2Tensor& input, const InvocationLimits& limits) {
  const int64_t count = input.shape[0];
  if (count == 0) return Refusal{400, "EmptyBatch", "the input " + input.name + " is empty"};
  if (static_cast<uint64_t>(count) <= limits.max_texts) return std::nullopt;
  return Refusal{413, "TooManyTexts",
                 "the input " + input.name + " holds " + std::to_string(count) +
                     " texts; the limit is " + std::to_string(limits.max_texts)};
}

MaybeRefusal CheckSameShape(const V2Tensor& input, const V2Tensor& first) {
  if (input.shape == first.shape) return std::nullopt;
  return InvalidInput("the input " + input.name + " has the shape " + ShapeText(input.shape) +
                      "; expected that of " + first.name + ", " + ShapeText(first.shape));
}

MaybeRefusal TakeTexts(const Named& named, const InvocationLimits& limits,
                       std::vector<TextInput>& out) {
  V2Tensor& text = *named.text;
  const bool column = text.shape.size() == 2 && text.shape[1] == 1;
  if (text.shape.size() != 1 && !column) {
    return InvalidInput("the input text has the shape " + ShapeText(text.shape) +
                        "; expected [-1] or [-1,1]");
  }
  if (auto refusal = CheckCount(text, limits)) return refusal;
  if (named.text_pair) {
    if (auto refusal = CheckSameShape(*named.text_pair, text)) return refusal;
  }
  auto& texts = std::get<Texts>(text.data);
  out.resize(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    out[i].text = std::move(texts[i]);
    if (named.text_pair) out[i].pair = std::move(std::get<Texts>(named.text_pair->data)[i]);
  }
  return std::nullopt;
}

// Tokens of one row before its padding.
MaybeRefusal RowLength(std::span<const int64_t> mask, size_t row, size_t& out) {
  const auto zero = std::find(mask.begin(), mask.end(), 0);
  const auto after = std::find_if(zero, mask.end(), [](int64_t x) { return x != 0; });
  out = static_cast<size_t>(zero - mask.begin());
  if (after == mask.end() && std::all_of(mask.begin(), zero, [](int64_t x) { return x == 1; })) {
    return std::nullopt;
  }
  return InvalidInput("attention_mask[" + std::to_string(row) +
                      "] is not ones and then zeros; pad at the end of the row");
}

std::vector<int32_t> Narrow(std::span<const int64_t> values) {
  std::vector<int32_t> narrow(values.size());
  // What does not fit is no token's id; CheckTokens refuses it as such.
  std::transform(values.begin(), values.end(), narrow.begin(), [](int64_t value) {
    return value < 0 || value > std::numeric_limits<int32_t>::max() ? -1
                                                                    : static_cast<int32_t>(value);
  });
  return narrow;
}

MaybeRefusal TakeTokens(const Named& named, const InvocationLimits& limits,
                        std::vector<text::Encoding>& out) {
  const V2Tensor& ids = *named.input_ids;
  if (ids.shape.size() != 2) {
    return InvalidInput("the input input_ids has the shape " + ShapeText(ids.shape) +
                        "; expected [-1,-1]");
  }
  if (auto refusal = CheckCount(ids, limits)) return refusal;
  for (const V2Tensor* other : {named.attention_mask, named.token_type_ids}) {
    if (!other) continue;
    if (auto refusal = CheckSameShape(*other, ids)) return refusal;
  }
  const auto width = static_cast<size_t>(ids.shape[1]);
  const auto row_of = [width](const V2Tensor& tensor, size_t row) {
    return std::span(std::get<Integers>(tensor.data)).subspan(row * width, width);
  };
  out.resize(static_cast<size_t>(ids.shape[0]));
  for (size_t row = 0; row < out.size(); ++row) {
    size_t length = width;
    if (named.attention_mask) {
      if (auto refusal = RowLength(row_of(*named.attention_mask, row), row, length)) {
        return refusal;
      }
    }
    out[row].ids = Narrow(row_of(ids, row).first(length));
    out[row].type_ids = named.token_type_ids
                            ? Narrow(row_of(*named.token_type_ids, row).first(length))
                            : std::vector<int32_t>(length, 0);
  }
  return std::nullopt;
}

MaybeRefusal PlanParameters(const formats::Json& given, const InvocationLimits& limits,
                            const LongTextOptions& long_texts, V2Work& out) {
  formats::Json known = formats::Json::object();
  for (const char* key : {"top_k", "function_to_apply", "truncation", "max_length"}) {
    if (given.contains(key)) known[key] = given[key];
  }
  Parameters& parameters = out.plan.parameters;
  if (auto refusal = ReadParameters(known, limits, parameters)) return refusal;
  out.inference.truncation.long_texts = long_texts.With(parameters.truncation);
  out.inference.truncation.max_length = parameters.max_length.value_or(0);
  const auto timeout = given.find("timeout");
  if (timeout == given.end()) return std::nullopt;
  if (!timeout->is_number_integer() || timeout->get<int64_t>() < 0) {
    return InvalidInput("parameters.timeout is no count of microseconds");
  }
  // 0 means none, as in Triton.
  if (const auto count = timeout->get<int64_t>(); count > 0) {
    constexpr int64_t kDay = int64_t{86'400'000'000};
    out.plan.timeout = std::chrono::microseconds(std::min(count, kDay));
  }
  return std::nullopt;
}

MaybeRefusal PlanOutputs(V2Request& request, size_t labels, V2Plan& out) {
  const auto known = V2Outputs(static_cast<int64_t>(labels));
  for (const V2RequestedOutput& output : request.outputs) {
    const auto same = [&](const auto& other) { return other.name == output.name; };
    if (std::none_of(known.begin(), known.end(), same)) {
      return InvalidInput("unexpected output " + Quote(output.name) + "; expected " +
                          NamesOf(known));
    }
    if (std::any_of(out.outputs.begin(), out.outputs.end(), same)) {
      return InvalidInput("the output " + output.name + " is asked for twice");
    }
    if (output.classification > 0 && output.name == kLabel) {
      return InvalidInput("the output label has no classification; ask for that of probabilities");
    }
    out.outputs.push_back(output);
  }
  out.binary_output = request.binary_output;
  if (!out.outputs.empty()) return std::nullopt;
  for (const V2TensorType& type : known) out.outputs.push_back({std::string(type.name), {}, 0});
  return std::nullopt;
}

// One row's labels, best first.
std::vector<size_t> BestFirst(std::span<const float> row, size_t count) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

// The rows of one answer.
class Rows {
 public:
  Rows(std::span<const float> logits, const LabelScheme& scheme, const Parameters& parameters)
      : scheme_(scheme), labels_(scheme.labels.size()), count_(logits.size() / labels_) {
    logits_.assign(logits.begin(), logits.end());
    const FunctionToApply function = parameters.function_to_apply.value_or(scheme.function);
    for (size_t row = 0; row < count_; ++row) {
      const auto scores = Scores(logits.subspan(row * labels_, labels_), function);
      scores_.insert(scores_.end(), scores.begin(), scores.end());
    }
    if (!parameters.has_top_k) return;
    top_k_ = std::min(static_cast<size_t>(parameters.top_k.value_or(int64_t{1} << 30)), labels_);
  }

  V2Tensor Make(const V2RequestedOutput& output) const {
    const bool raw = output.name == kLogits;
    if (output.classification > 0) return Classes(output, raw ? logits_ : scores_);
    if (raw) return {output.name, "FP32", Shape(labels_), logits_};
    if (output.name == kLabel) return Labels(output.name);
    if (!top_k_) return {output.name, "FP32", Shape(labels_), scores_};
    std::vector<float> best;
    ForBest(scores_, *top_k_, [&](size_t, float score) { best.push_back(score); });
    return {output.name, "FP32", Shape(*top_k_), std::move(best)};
  }

 private:
  std::vector<int64_t> Shape(size_t width) const {
    return {static_cast<int64_t>(count_), static_cast<int64_t>(width)};
  }

  template <class Body>
  void ForBest(const std::vector<float>& values, size_t count, Body&& body) const {
    for (size_t row = 0; row < count_; ++row) {
      const auto of_row = std::span(values).subspan(row * labels_, labels_);
      for (size_t label : BestFirst(of_row, count)) body(label, of_row[label]);
    }
  }

  V2Tensor Labels(const std::string& name) const {
    Texts best;
    ForBest(scores_, top_k_.value_or(1),
            [&](size_t label, float) { best.push_back(scheme_.labels[label]); });
    auto shape = top_k_ ? Shape(*top_k_) : std::vector<int64_t>{static_cast<int64_t>(count_)};
    return {name, "BYTES", std::move(shape), std::move(best)};
  }

  // Triton's form, "value:index:label".
  V2Tensor Classes(const V2RequestedOutput& output, const std::vector<float>& values) const {
    const size_t width = std::min(static_cast<size_t>(output.classification), labels_);
    Texts classes;
    ForBest(values, width, [&](size_t label, float value) {
      std::string& text = classes.emplace_back();
      AppendFloat(value, text);
      text += ":" + std::to_string(label) + ":" + scheme_.labels[label];
    });
    return {output.name, "BYTES", Shape(width), std::move(classes)};
  }

  const LabelScheme& scheme_;
  const size_t labels_;
  const size_t count_;
  std::vector<float> logits_;
  std::vector<float> scores_;
  std::optional<size_t> top_k_;
};

}  // namespace

formats::Json V2TypesJson(const std::vector<V2TensorType>& types) {
  formats::Json list = formats::Json::array();
  for (const V2TensorType& type : types) {
    list.push_back({{"name", type.name}, {"datatype", type.datatype}, {"shape", type.shape}});
  }
  return list;
}

std::vector<V2TensorType> V2Inputs() {
  return {{kText, "BYTES", {-1}, true},
          {kTextPair, "BYTES", {-1}, true},
          {kInputIds, "INT64", {-1, -1}, true},
          {kAttentionMask, "INT64", {-1, -1}, true},
          {kTokenTypeIds, "INT64", {-1, -1}, true}};
}

std::vector<V2TensorType> V2Outputs(int64_t labels) {
  return {{kLogits, "FP32", {-1, labels}},
          {kProbabilities, "FP32", {-1, labels}},
          {kLabel, "BYTES", {-1}}};
}

std::variant<V2Work, Refusal> PlanV2(V2Request request, const InvocationLimits& limits,
                                     const LongTextOptions& long_texts, size_t labels) {
  V2Work work;
  Named named;
  auto refusal = NameInputs(request.inputs, named);
  if (!refusal) {
    refusal = named.text ? TakeTexts(named, limits, work.inference.texts)
                         : TakeTokens(named, limits, work.inference.encodings);
  }
  if (!refusal) refusal = PlanParameters(request.parameters, limits, long_texts, work);
  if (!refusal) refusal = PlanOutputs(request, labels, work.plan);
  if (refusal) return *std::move(refusal);
  work.plan.id = std::move(request.id);
  return work;
}

Result<V2Answer> AnswerV2(const V2Plan& plan, std::span<const float> logits,
                          const LabelScheme& scheme) {
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
    return Error{ErrorCode::kInternal, "the model gave a logit that is not a finite number"};
  }
  const Rows rows(logits, scheme, plan.parameters);
  V2Answer answer;
  answer.id = plan.id;
  for (const V2RequestedOutput& output : plan.outputs) {
    answer.outputs.push_back(rows.Make(output));
    answer.binary.push_back(output.binary.value_or(plan.binary_output));
  }
  return answer;
}

std::string V2TextName(bool texts, size_t index) {
  return std::string(texts ? kText : kInputIds) + "[" + std::to_string(index) + "]";
}

}  // namespace bertie::serve
