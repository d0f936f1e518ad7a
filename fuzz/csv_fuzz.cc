// CSV and tsv: records that were read can be written and read back as they were.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/csv.h"

namespace {

using bertie::formats::CsvOptions;
using bertie::formats::CsvReader;
using bertie::formats::CsvRecord;

void CheckRoundTrip(const CsvRecord& record, const CsvOptions& options) {
  std::string text;
  if (!bertie::formats::AppendCsvRecord(record.fields, text, options).ok()) std::abort();
  // A byte order mark is dropped at a file's beginning, where this record did not stand.
  text.insert(0, "\n");
  CsvReader reader(text, "fuzz", options);
  CsvRecord again;
  const auto more = reader.Next(again);
  if (!more.ok() || !*more || again.fields != record.fields) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using bertie::formats::CsvQuoting;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const CsvQuoting quoting : {CsvQuoting::kRfc4180, CsvQuoting::kNone}) {
    const CsvOptions options{.delimiter = quoting == CsvQuoting::kNone ? '\t' : ',',
                             .quoting = quoting,
                             .max_field_bytes = 1000,
                             .max_fields = 20};
    CsvReader reader(text, "fuzz", options);
    CsvRecord record;
    size_t calls = 0;
    for (;;) {
      if (++calls > size + 2) std::abort();  // each call takes at least one byte
      const auto more = reader.Next(record);
      if (!more.ok()) continue;
      if (!*more) break;
      // Without quotes a record of one empty field cannot be told from a blank line.
      const bool blank = record.fields.size() == 1 && record.fields[0].empty();
      if (!blank || quoting == CsvQuoting::kRfc4180) CheckRoundTrip(record, options);
    }
  }
  return 0;
}
