#include "data/label_form.h"

#include <algorithm>
#include <string>

#include "data/json_line.h"
#include "data/label_text.h"

namespace bertie::data {

Status ResolveProblem(std::string_view beginning, const TableOptions& options,
                      TableReport& report) {
  const bool jsonl = report.format == TableFormat::kJsonl;
  const bool told = !options.label_separator.empty() || !options.label_columns.empty();
  report.label_separator = options.label_separator;
  report.problem =
      options.problem.value_or(told ? ProblemType::kMultiLabel : ProblemType::kSingleLabel);
  if (!options.need_label) return {};
  if (!options.problem && !told && jsonl && report.label_column >= 0 &&
      FirstIsJsonList(beginning, report.columns[static_cast<size_t>(report.label_column)])) {
    report.problem = ProblemType::kMultiLabel;
  }
  if (report.problem != ProblemType::kMultiLabel || told || jsonl) return {};
  return Error{ErrorCode::kInvalidArgument,
               report.source +
                   ": cannot tell how the labels of a row are written; expected --label-separator "
                   "';' where a cell has all of them, or --labels A,B,C for columns of 0 and 1"};
}

Status ResolveFastText(std::string_view beginning, const TableOptions& options,
                       TableReport& report) {
  report.columns = {"text", "label"};
  report.text_column = 0;
  report.label_column = 1;
  report.problem = options.problem.value_or(ProblemType::kSingleLabel);
  if (!options.label_columns.empty() || !options.label_separator.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 report.source + ": is read as fastText's lines, which mark labels by " +
                     std::string(kFastTextMark) +
                     "; expected neither --labels nor --label-separator"};
  }
  for (size_t row = 0; !options.problem && !beginning.empty() && row < kSampleRows; ++row) {
    const size_t end = std::min(beginning.find('\n'), beginning.size());
    if (SplitFastText(beginning.substr(0, end)).labels.size() > 1) {
      report.problem = ProblemType::kMultiLabel;
    }
    beginning.remove_prefix(std::min(beginning.size(), end + 1));
  }
  return {};
}

}  // namespace bertie::data
