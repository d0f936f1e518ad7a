// Answers of `bertie predict` as text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/answer_form.h"
#include "data/row_reader.h"
#include "serve/answer.h"

namespace bertie::cli {

enum class PredictionFormat { kTable, kJson, kCsv };

// "table", "json", "csv"; kInvalidArgument for anything else.
Result<PredictionFormat> ParsePredictionFormat(const std::string& name);

struct PredictionOptions {
  PredictionFormat format = PredictionFormat::kTable;
  // Labels of each text, best first; 0 all. Unset: one, in JSON all; of a model that gives several
  // labels those that reach the threshold.
  std::optional<int64_t> top_k;
  std::optional<double> threshold;  // unset: kDefaultThreshold
  bool logits = false;
};

// Formats chunk after chunk; nothing depends on the rows before. Immutable.
//   table  label and score (for each of top_k), the labels given, or the number; then the text, cut
//          to fit a line
//   json   {"text":...,"pair":...,"label":...,"score":...,"scores":{...},"logits":[...],
//          "windows":N}; pair and logits where there are some, scores best first, logits in the
//          order of the ids, windows where there were several;
//          "labels":[...] for label and score of a model that gives several, "value" for all three
//          in a regression
//   csv    text[,pair],label,score[,label_2,score_2...][,logit_LABEL...], RFC 4180; or
//          labels,score_LABEL... or value
class PredictionWriter {
 public:
  // scheme must outlive the writer; problem_type is config.json's. kInvalidArgument: logits in a
  // table, a threshold with another model than one that gives several labels, or with top_k.
  static Result<PredictionWriter> Create(const serve::LabelScheme& scheme,
                                         const std::string& problem_type,
                                         const PredictionOptions& options);

  // What comes before the first row; "" for JSON. pairs: the rows will have a second text.
  std::string Header(bool pairs) const;

  // logits: [rows, labels]; windows: [rows], those that each row's text was read in. kInvalidData,
  // naming the row's line, where logits are not finite.
  Result<std::string> Format(std::span<const data::Row> rows, std::span<const float> logits,
                             std::span<const uint32_t> windows) const;

 private:
  PredictionWriter(const serve::LabelScheme& scheme, const std::string& problem_type,
                   const PredictionOptions& options);

  void AppendTable(const data::Row& row, const Scored& answer, std::string& out) const;
  void AppendJson(const data::Row& row, const Scored& answer, uint32_t windows,
                  std::string& out) const;
  void AppendCsv(const data::Row& row, const Scored& answer, std::string& out) const;

  const serve::LabelScheme& scheme_;
  PredictionOptions options_;
  std::unique_ptr<AnswerForm> form_;
  size_t text_width_ = 0;
};

}  // namespace bertie::cli
