#include "cli/prediction_writer.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/quote.h"
#include "cli/table.h"
#include "formats/csv.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

constexpr size_t kWidestLabel = 30;
constexpr size_t kScoreWidth = 6;  // "0.9876"

size_t ScreenWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

std::string Padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, DisplayWidth(text)), ' ');
}

// The labels' ids, best score first; equal scores in the order of the ids.
std::vector<size_t> BestFirst(std::span<const float> scores, size_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

std::string Number(float value) {
  std::string text;
  serve::AppendFloat(value, text);
  return text;
}

}  // namespace

Result<PredictionFormat> ParsePredictionFormat(const std::string& name) {
  if (name == "table") return PredictionFormat::kTable;
  if (name == "json") return PredictionFormat::kJson;
  if (name == "csv") return PredictionFormat::kCsv;
  return Error{ErrorCode::kInvalidArgument,
               "--format is " + Quote(name) + "; expected table, json or csv"};
}

Result<PredictionWriter> PredictionWriter::Create(const serve::LabelScheme& scheme,
                                                  const PredictionOptions& options) {
  if (options.logits && options.format == PredictionFormat::kTable) {
    return Error{ErrorCode::kInvalidArgument,
                 "--logits does not go with --format table; expected json or csv"};
  }
  return PredictionWriter(scheme, options);
}

PredictionWriter::PredictionWriter(const serve::LabelScheme& scheme,
                                   const PredictionOptions& options)
    : scheme_(scheme), options_(options) {
  const size_t labels = scheme.labels.size();
  const int64_t least = options.format == PredictionFormat::kJson ? 0 : 1;
  const int64_t wanted = options.top_k.value_or(least);
  top_k_ = wanted == 0 ? labels : std::min(static_cast<size_t>(wanted), labels);
  label_width_ = std::string("label").size();
  for (const std::string& label : scheme.labels) {
    label_width_ = std::max(label_width_, DisplayWidth(OneLine(label, kWidestLabel)));
    quoted_labels_.push_back(formats::DumpJson(formats::Json(label)));
  }
  const size_t used = top_k_ * (label_width_ + kScoreWidth + 4);
  const size_t screen = ScreenWidth();
  text_width_ = screen > used + 20 ? screen - used : 20;
}

std::string PredictionWriter::Header(bool pairs) const {
  if (options_.format == PredictionFormat::kJson) return "";
  if (options_.format == PredictionFormat::kTable) {
    std::string names, rule;
    for (size_t i = 0; i < top_k_; ++i) {
      names += Padded("label", label_width_) + "  " + Padded("score", kScoreWidth) + "  ";
      rule += std::string(label_width_, '-') + "  " + std::string(kScoreWidth, '-') + "  ";
    }
    return names + "text\n" + rule + "----\n";
  }
  std::vector<std::string> fields = {"text"};
  if (pairs) fields.push_back("pair");
  for (size_t i = 0; i < top_k_; ++i) {
    const std::string rank = i == 0 ? "" : "_" + std::to_string(i + 1);
    fields.push_back("label" + rank);
    fields.push_back("score" + rank);
  }
  if (options_.logits) {
    for (const std::string& label : scheme_.labels) fields.push_back("logit_" + label);
  }
  std::string out;
  // Only forms without quotes can refuse a field.
  (void)formats::AppendCsvRecord(fields, out);
  return out;
}

Result<std::string> PredictionWriter::Format(std::span<const data::Row> rows,
                                             std::span<const float> logits) const {
  const size_t labels = scheme_.labels.size();
  std::string out;
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::span<const float> row_logits = logits.subspan(i * labels, labels);
    if (!std::all_of(row_logits.begin(), row_logits.end(),
                     [](float logit) { return std::isfinite(logit); })) {
      return Error{ErrorCode::kInvalidData, "text " + std::to_string(rows[i].line) +
                                                ": the model gave a logit that is not finite; "
                                                "its weights are damaged"};
    }
    const std::vector<float> scores = serve::Scores(row_logits, scheme_.function);
    const std::vector<size_t> best = BestFirst(scores, top_k_);
    switch (options_.format) {
      case PredictionFormat::kTable:
        AppendTable(rows[i], scores, best, out);
        break;
      case PredictionFormat::kJson:
        AppendJson(rows[i], scores, best, row_logits, out);
        break;
      case PredictionFormat::kCsv:
        AppendCsv(rows[i], scores, best, row_logits, out);
        break;
    }
  }
  return out;
}

void PredictionWriter::AppendTable(const data::Row& row, std::span<const float> scores,
                                   std::span<const size_t> best, std::string& out) const {
  for (size_t label : best) {
    out += Padded(OneLine(scheme_.labels[label], kWidestLabel), label_width_) + "  " +
           Padded(FormatFixed(scores[label], 4), kScoreWidth) + "  ";
  }
  const std::string text = row.pair ? row.text + " | " + *row.pair : row.text;
  out += OneLine(text, text_width_) + "\n";
}

void PredictionWriter::AppendJson(const data::Row& row, std::span<const float> scores,
                                  std::span<const size_t> best, std::span<const float> logits,
                                  std::string& out) const {
  out += "{\"text\":" + formats::DumpJson(formats::Json(row.text));
  if (row.pair) out += ",\"pair\":" + formats::DumpJson(formats::Json(*row.pair));
  out += ",\"label\":" + quoted_labels_[best.front()] +
         ",\"score\":" + Number(scores[best.front()]) + ",\"scores\":{";
  for (size_t i = 0; i < best.size(); ++i) {
    out += (i > 0 ? "," : "") + quoted_labels_[best[i]] + ":" + Number(scores[best[i]]);
  }
  out += "}";
  if (options_.logits) {
    for (size_t i = 0; i < logits.size(); ++i) {
      out += (i > 0 ? "," : ",\"logits\":[") + Number(logits[i]);
    }
    out += "]";
  }
  out += "}\n";
}

void PredictionWriter::AppendCsv(const data::Row& row, std::span<const float> scores,
                                 std::span<const size_t> best, std::span<const float> logits,
                                 std::string& out) const {
  std::vector<std::string> fields = {row.text};
  if (row.pair) fields.push_back(*row.pair);
  for (size_t label : best) {
    fields.push_back(scheme_.labels[label]);
    fields.push_back(Number(scores[label]));
  }
  if (options_.logits) {
    for (float logit : logits) fields.push_back(Number(logit));
  }
  (void)formats::AppendCsvRecord(fields, out);  // cannot fail, see Header
}

}  // namespace bertie::cli
