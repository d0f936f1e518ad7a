#include "serve/answer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

#include "formats/csv.h"
#include "formats/json.h"

namespace bertie::serve {
namespace {

void AppendRow(std::span<const float> row, std::string& out) {
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendFloat(row[i], out);
  }
}

std::string LogitsJson(std::span<const float> logits, size_t labels) {
  std::string out = "[";
  for (size_t i = 0; i < logits.size(); i += labels) {
    out += i > 0 ? ",[" : "[";
    AppendRow(logits.subspan(i, labels), out);
    out.push_back(']');
  }
  out.push_back(']');
  return out;
}

std::string LogitsCsv(std::span<const float> logits, size_t labels) {
  std::string out;
  for (size_t i = 0; i < logits.size(); i += labels) {
    AppendRow(logits.subspan(i, labels), out);
    out.push_back('\n');
  }
  return out;
}

class ScoresWriter {
 public:
  ScoresWriter(const Invocation& invocation, const LabelScheme& scheme)
      : parameters_(invocation.parameters), labels_(scheme.labels) {
    for (const std::string& label : scheme.labels) {
      quoted_.push_back(formats::DumpJson(formats::Json(label)));
    }
  }

  void AppendOne(size_t label, float score, std::string& out) const {
    out.append("{\"label\":").append(quoted_[label]).append(",\"score\":");
    AppendFloat(score, out);
    out.push_back('}');
  }

  // What one text gives: {best}, or a list.
  void AppendText(std::span<const float> scores, std::string& out) const {
    bool all = !parameters_.has_top_k && parameters_.return_all_scores.value_or(false);
    if (!parameters_.has_top_k && !all) {
      size_t best = Best(scores);
      return AppendOne(best, scores[best], out);
    }
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    if (parameters_.has_top_k) {
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return scores[a] > scores[b]; });
      if (parameters_.top_k && static_cast<size_t>(*parameters_.top_k) < order.size()) {
        order.resize(static_cast<size_t>(*parameters_.top_k));
      }
    }
    out.push_back('[');
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out.push_back(',');
      AppendOne(order[i], scores[order[i]], out);
    }
    out.push_back(']');
  }

  void AppendCsvRow(std::span<const float> scores, std::string& out) const {
    size_t best = Best(scores);
    std::array<std::string, 2> fields{labels_[best], {}};
    AppendFloat(scores[best], fields[1]);
    // Only unquoted forms can refuse a field.
    (void)formats::AppendCsvRecord(fields, out);
  }

 private:
  static size_t Best(std::span<const float> scores) {
    return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  }

  const Parameters& parameters_;
  const std::vector<std::string>& labels_;
  std::vector<std::string> quoted_;
};

std::string ScoresJson(const Invocation& invocation, std::span<const float> logits,
                       const LabelScheme& scheme, FunctionToApply function) {
  const size_t labels = scheme.labels.size();
  ScoresWriter writer(invocation, scheme);
  // A lone string without top_k is wrapped once more, for pipelines of old did so.
  bool list =
      invocation.container == Invocation::Container::kList ||
      (invocation.container == Invocation::Container::kText && !invocation.parameters.has_top_k);
  std::string out;
  if (list) out.push_back('[');
  for (size_t i = 0; i < logits.size(); i += labels) {
    if (i > 0) out.push_back(',');
    writer.AppendText(Scores(logits.subspan(i, labels), function), out);
  }
  if (list) out.push_back(']');
  return out;
}

std::string ScoresCsv(const Invocation& invocation, std::span<const float> logits,
                      const LabelScheme& scheme, FunctionToApply function) {
  const size_t labels = scheme.labels.size();
  ScoresWriter writer(invocation, scheme);
  std::string out = "label,score\n";
  for (size_t i = 0; i < logits.size(); i += labels) {
    writer.AppendCsvRow(Scores(logits.subspan(i, labels), function), out);
  }
  return out;
}

}  // namespace

LabelScheme MakeLabelScheme(std::vector<std::string> labels, int64_t num_labels,
                            const std::string& problem_type) {
  LabelScheme scheme{std::move(labels), FunctionToApply::kSoftmax};
  for (auto i = static_cast<int64_t>(scheme.labels.size()); i < num_labels; ++i) {
    scheme.labels.push_back("LABEL_" + std::to_string(i));
  }
  if (problem_type == "regression") {
    scheme.function = FunctionToApply::kNone;
  } else if (problem_type == "multi_label_classification" || num_labels == 1) {
    scheme.function = FunctionToApply::kSigmoid;
  }
  return scheme;
}

std::vector<float> Scores(std::span<const float> logits, FunctionToApply function) {
  std::vector<float> scores(logits.begin(), logits.end());
  if (function == FunctionToApply::kSigmoid) {
    for (float& score : scores) {
      score = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(score))));
    }
  } else if (function == FunctionToApply::kSoftmax) {
    double max = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
    for (float& score : scores) {
      score = static_cast<float>(std::exp(static_cast<double>(score) - max) / sum);
    }
  }
  return scores;
}

void AppendFloat(float value, std::string& out) {
  std::array<char, 32> digits;  // the longest float has 15 characters
  auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end);
}

Result<std::string> FormatAnswer(const Invocation& invocation, std::span<const float> logits,
                                 const LabelScheme& scheme, MediaType type) {
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
    return Error{ErrorCode::kInternal, "the model gave a logit that is not a finite number"};
  }
  const size_t labels = scheme.labels.size();
  const bool csv = type == MediaType::kCsv;
  if (invocation.form == AnswerForm::kScores) {
    FunctionToApply function = invocation.parameters.function_to_apply.value_or(scheme.function);
    return csv ? ScoresCsv(invocation, logits, scheme, function)
               : ScoresJson(invocation, logits, scheme, function);
  }
  if (csv) return LogitsCsv(logits, labels);
  std::string json = LogitsJson(logits, labels);
  if (invocation.form == AnswerForm::kLogits) return json;
  return "{\"predictions\":" + json + "}";
}

}  // namespace bertie::serve
