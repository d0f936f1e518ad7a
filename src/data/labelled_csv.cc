#include "data/labelled_csv.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/csv.h"

namespace bertie::data {

std::string LabelSeparator(std::span<const std::string> labels) {
  for (const char* separator : {";", "|", ",", "/", "^", "~"}) {
    const bool taken = std::any_of(labels.begin(), labels.end(), [&](const std::string& label) {
      return label.find(separator) != std::string::npos;
    });
    if (!taken) return separator;
  }
  return "";
}

Status WriteLabelledCsv(const std::filesystem::path& path, const Dataset& dataset,
                        std::span<const size_t> indices) {
  constexpr size_t kFlush = size_t{1} << 20;
  const bool several = dataset.problem() == ProblemType::kMultiLabel;
  const std::string separator = several ? LabelSeparator(dataset.labels) : "";
  if (several && separator.empty()) {
    return Error{ErrorCode::kUnsupported,
                 path.string() + ": the labels hold every character that could separate them"};
  }
  BERTIE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  const bool pairs = dataset.table.pair_column >= 0;
  std::vector<std::string> fields = {"sentence", "label"};
  if (pairs) fields = {"sentence1", "sentence2", "label"};
  std::string out;
  BERTIE_RETURN_IF_ERROR(formats::AppendCsvRecord(fields, out));
  for (const size_t index : indices) {
    const Example& example = dataset.examples[index];
    size_t field = 0;
    fields[field++] = example.text;
    if (pairs) fields[field++] = example.pair.value_or("");
    fields[field] = ShowAnswer(example, dataset, separator);
    BERTIE_RETURN_IF_ERROR(formats::AppendCsvRecord(fields, out));
    if (out.size() < kFlush) continue;
    BERTIE_RETURN_IF_ERROR(file.Write(out));
    out.clear();
  }
  BERTIE_RETURN_IF_ERROR(file.Write(out));
  return file.Commit();
}

}  // namespace bertie::data
