#include "cli/prediction_writer.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/quote.h"
#include "cli/table.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "train/metrics.h"

namespace bertie::cli {
namespace {

size_t ScreenWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

std::string Padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, DisplayWidth(text)), ' ');
}

// What is said of each text.
std::unique_ptr<AnswerForm> FormFor(const serve::LabelScheme& scheme,
                                    const std::string& problem_type,
                                    const PredictionOptions& options) {
  const auto problem = ParseProblemType(problem_type);
  if (problem == ProblemType::kRegression && scheme.labels.size() == 1) return MakeNumber();
  if (problem == ProblemType::kMultiLabel && !options.top_k) {
    return MakeGivenLabels(scheme, options.threshold.value_or(train::kDefaultThreshold));
  }
  const int64_t least = options.format == PredictionFormat::kJson ? 0 : 1;
  const int64_t wanted = options.top_k.value_or(least);
  const size_t labels = scheme.labels.size();
  return MakeBestLabels(scheme,
                        wanted == 0 ? labels : std::min(static_cast<size_t>(wanted), labels));
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
                                                  const std::string& problem_type,
                                                  const PredictionOptions& options) {
  if (options.logits && options.format == PredictionFormat::kTable) {
    return Error{ErrorCode::kInvalidArgument,
                 "--logits does not go with --format table; expected json or csv"};
  }
  if (options.threshold && ParseProblemType(problem_type) != ProblemType::kMultiLabel) {
    return Error{ErrorCode::kInvalidArgument,
                 "--threshold is for models that give several labels; this one's problem_type is " +
                     Quote(problem_type)};
  }
  if (options.threshold && options.top_k) {
    return Error{ErrorCode::kInvalidArgument,
                 "--threshold does not go with --top-k: labels are given by their score or by "
                 "their number"};
  }
  return PredictionWriter(scheme, problem_type, options);
}

PredictionWriter::PredictionWriter(const serve::LabelScheme& scheme,
                                   const std::string& problem_type,
                                   const PredictionOptions& options)
    : scheme_(scheme), options_(options), form_(FormFor(scheme, problem_type, options)) {
  size_t used = 0;
  for (const AnswerColumn& column : form_->Columns()) used += column.width + 2;
  const size_t screen = ScreenWidth();
  text_width_ = screen > used + 20 ? screen - used : 20;
}

std::string PredictionWriter::Header(bool pairs) const {
  if (options_.format == PredictionFormat::kJson) return "";
  if (options_.format == PredictionFormat::kTable) {
    std::string names, rule;
    for (const AnswerColumn& column : form_->Columns()) {
      names += Padded(column.name, column.width) + "  ";
      rule += std::string(column.width, '-') + "  ";
    }
    return names + "text\n" + rule + "----\n";
  }
  std::vector<std::string> fields = {"text"};
  if (pairs) fields.push_back("pair");
  for (std::string& name : form_->CsvNames()) fields.push_back(std::move(name));
  if (options_.logits) {
    for (const std::string& label : scheme_.labels) fields.push_back("logit_" + label);
  }
  std::string out;
  // Only forms without quotes can refuse a field.
  (void)formats::AppendCsvRecord(fields, out);
  return out;
}

Result<std::string> PredictionWriter::Format(std::span<const data::Row> rows,
                                             std::span<const float> logits,
                                             std::span<const uint32_t> windows) const {
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
    const Scored answer{row_logits, scores};
    switch (options_.format) {
      case PredictionFormat::kTable:
        AppendTable(rows[i], answer, out);
        break;
      case PredictionFormat::kJson:
        AppendJson(rows[i], answer, windows[i], out);
        break;
      case PredictionFormat::kCsv:
        AppendCsv(rows[i], answer, out);
        break;
    }
  }
  return out;
}

void PredictionWriter::AppendTable(const data::Row& row, const Scored& answer,
                                   std::string& out) const {
  const auto columns = form_->Columns();
  const auto cells = form_->Cells(answer);
  for (size_t i = 0; i < cells.size(); ++i) out += Padded(cells[i], columns[i].width) + "  ";
  const std::string text = row.pair ? row.text + " | " + *row.pair : row.text;
  out += OneLine(text, text_width_) + "\n";
}

void PredictionWriter::AppendJson(const data::Row& row, const Scored& answer, uint32_t windows,
                                  std::string& out) const {
  out += "{\"text\":" + formats::DumpJson(formats::Json(row.text));
  if (row.pair) out += ",\"pair\":" + formats::DumpJson(formats::Json(*row.pair));
  form_->AppendJson(answer, out);
  if (options_.logits) {
    for (size_t i = 0; i < answer.logits.size(); ++i) {
      out += (i > 0 ? "," : ",\"logits\":[") + ShortNumber(answer.logits[i]);
    }
    out += "]";
  }
  if (windows > 1) out += ",\"windows\":" + std::to_string(windows);
  out += "}\n";
}

void PredictionWriter::AppendCsv(const data::Row& row, const Scored& answer,
                                 std::string& out) const {
  std::vector<std::string> fields = {row.text};
  if (row.pair) fields.push_back(*row.pair);
  for (std::string& cell : form_->CsvCells(answer)) fields.push_back(std::move(cell));
  if (options_.logits) {
    for (const float logit : answer.logits) fields.push_back(ShortNumber(logit));
  }
  (void)formats::AppendCsvRecord(fields, out);  // cannot fail, see Header
}

}  // namespace bertie::cli
