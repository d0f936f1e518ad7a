// Answers of `bertie predict` as text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/row_reader.h"
#include "serve/answer.h"

namespace bertie::cli {

enum class PredictionFormat { kTable, kJson, kCsv };

// "table", "json", "csv"; kInvalidArgument for anything else.
Result<PredictionFormat> ParsePredictionFormat(const std::string& name);

struct PredictionOptions {
  PredictionFormat format = PredictionFormat::kTable;
  // Labels of each text, best first; 0 all. Unset: one, in JSON all.
  std::optional<int64_t> top_k;
  bool logits = false;
};

// Formats chunk after chunk; nothing depends on the rows before. Immutable.
//   table  label and score (for each of top_k), then the text, cut to fit a line
//   json   {"text":...,"pair":...,"label":...,"score":...,"scores":{...},"logits":[...]}; pair and
//          logits where there are some, scores best first, logits in the order of the ids
//   csv    text[,pair],label,score[,label_2,score_2...][,logit_LABEL...], RFC 4180
class PredictionWriter {
 public:
  // scheme must outlive the writer. kInvalidArgument: logits in a table.
  static Result<PredictionWriter> Create(const serve::LabelScheme& scheme,
                                         const PredictionOptions& options);

  // What comes before the first row; "" for JSON. pairs: the rows will have a second text.
  std::string Header(bool pairs) const;

  // logits: [rows, labels]. kInvalidData, naming the row's line, where they are not finite.
  Result<std::string> Format(std::span<const data::Row> rows, std::span<const float> logits) const;

 private:
  PredictionWriter(const serve::LabelScheme& scheme, const PredictionOptions& options);

  void AppendTable(const data::Row& row, std::span<const float> scores,
                   std::span<const size_t> best, std::string& out) const;
  void AppendJson(const data::Row& row, std::span<const float> scores, std::span<const size_t> best,
                  std::span<const float> logits, std::string& out) const;
  void AppendCsv(const data::Row& row, std::span<const float> scores, std::span<const size_t> best,
                 std::span<const float> logits, std::string& out) const;

  const serve::LabelScheme& scheme_;
  PredictionOptions options_;
  size_t top_k_ = 1;
  size_t label_width_ = 0;
  size_t text_width_ = 0;
  std::vector<std::string> quoted_labels_;  // as JSON strings
};

}  // namespace bertie::cli
