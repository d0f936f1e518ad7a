#include "formats/csv.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "expect_error.h"

namespace bertie::formats {
namespace {

using std::string_literals::operator""s;
using Fields = std::vector<std::string>;

struct Row {
  int64_t line;
  Fields fields;
  bool operator==(const Row&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
  out << row.line << ":";
  for (const auto& field : row.fields) out << " <" << field << ">";
  return out;
}

constexpr CsvOptions kTsv{.delimiter = '\t', .quoting = CsvQuoting::kNone};

std::vector<Row> ReadAll(const std::string& text, const CsvOptions& options = {}) {
  CsvReader reader(text, "t.csv", options);
  CsvRecord record;
  std::vector<Row> rows;
  for (;;) {
    const auto more = reader.Next(record);
    EXPECT_TRUE(more.ok()) << more.error().message;
    if (!more.ok() || !*more) return rows;
    rows.push_back({record.line, record.fields});
  }
}

using Rows = std::vector<Row>;

TEST(CsvReader, ReadsPlainAndQuotedFields) {
  EXPECT_EQ(ReadAll("a,b\n\"x, y\",\"say \"\"hi\"\"\"\n\"\",\n"),
            (Rows{{1, {"a", "b"}}, {2, {"x, y", "say \"hi\""}}, {3, {"", ""}}}));
}

TEST(CsvReader, TakesEveryLineEnd) {
  const Rows rows{{1, {"a", "b"}}, {2, {"c", "d"}}};
  EXPECT_EQ(ReadAll("a,b\nc,d"), rows);
  EXPECT_EQ(ReadAll("a,b\nc,d\n"), rows);
  EXPECT_EQ(ReadAll("a,b\r\nc,d\r\n"), rows);
  EXPECT_EQ(ReadAll("a,b\rc,d\r"), rows);
}

TEST(CsvReader, QuotedFieldsMayHoldLineEndsAndLinesAreCountedThrough) {
  EXPECT_EQ(ReadAll("\"one\ntwo\r\nthree\rfour\",x\nlast\n"),
            (Rows{{1, {"one\ntwo\r\nthree\rfour", "x"}}, {5, {"last"}}}));
}

TEST(CsvReader, SkipsAByteOrderMarkAndBlankLines) {
  EXPECT_EQ(ReadAll("\xef\xbb\xbf\"a\"\n\n\r\nb\n\n"), (Rows{{1, {"a"}}, {4, {"b"}}}));
  EXPECT_EQ(ReadAll(""), Rows{});
  EXPECT_EQ(ReadAll("\xef\xbb\xbf"), Rows{});
  EXPECT_EQ(ReadAll("\n\n\n"), Rows{});
}

TEST(CsvReader, AQuotedEmptyLineIsARecord) {
  EXPECT_EQ(ReadAll("\"\"\nx\n"), (Rows{{1, {""}}, {2, {"x"}}}));
}

TEST(CsvReader, QuotesInsideUnquotedFieldsStandForThemselves) {
  EXPECT_EQ(ReadAll("5\" pipe,a\"b\"c\n"), (Rows{{1, {"5\" pipe", "a\"b\"c"}}}));
}

TEST(CsvReader, TakesAnyDelimiter) {
  EXPECT_EQ(ReadAll("a;\"b;c\";d,e\n", {.delimiter = ';'}), (Rows{{1, {"a", "b;c", "d,e"}}}));
}

// Rows as CoLA has them: an empty third column, quotes that are the sentence's own.
TEST(CsvReader, WithoutQuotingOneLineIsOneRecord) {
  EXPECT_EQ(ReadAll("gj04\t1\t\t\"Fred\" said so.\r\nks08\t0\t*\t\"Who said\tx\n", kTsv),
            (Rows{{1, {"gj04", "1", "", "\"Fred\" said so."}},
                  {2, {"ks08", "0", "*", "\"Who said", "x"}}}));
}

TEST(CsvReader, BeginsAtTheLineGiven) {
  EXPECT_EQ(ReadAll("a\nb\n", {.first_line = 40}), (Rows{{40, {"a"}}, {41, {"b"}}}));
}

TEST(CsvReader, ErrorsNameTheLine) {
  CsvRecord record;
  const auto first_error = [&](std::string text, CsvOptions options = {}) {
    CsvReader reader(text, "t.csv", options);
    for (;;) {
      auto more = reader.Next(record);
      if (!more.ok() || !*more) return more;
    }
  };
  EXPECT_ERROR(first_error("a\n\"b\nc\n"), ErrorCode::kInvalidData,
               "t.csv:2: a quoted field begins here and never ends");
  EXPECT_ERROR(first_error("a\n\"b\nc\"x\n"), ErrorCode::kInvalidData,
               "t.csv:3: found 'x' after a closing quote");
  EXPECT_ERROR(first_error("a\nb,c\0d\n"s), ErrorCode::kInvalidData,
               "t.csv:2: field 2: holds a NUL byte");
  EXPECT_ERROR(first_error("a\n\n\xff\xfe\n"), ErrorCode::kInvalidData,
               "t.csv:3: field 1: is not valid UTF-8: '\\xff\\xfe'");
  EXPECT_ERROR(first_error("a\n12345\n", {.max_field_bytes = 4}), ErrorCode::kResourceExhausted,
               "t.csv:2: a field of 5 bytes, over the limit of 4");
  EXPECT_ERROR(first_error("a\n\"12345\n6\"\n", {.max_field_bytes = 4}),
               ErrorCode::kResourceExhausted, "t.csv:2: a quoted field that begins here is longer");
  EXPECT_ERROR(first_error("a,b\na,b,c\n", {.max_fields = 2}), ErrorCode::kResourceExhausted,
               "t.csv:2: more than 2 fields");
}

TEST(CsvReader, RefusesEveryKindOfInvalidUtf8) {
  CsvRecord record;
  for (const std::string& text :
       {"\x80"s, "\xc0\xaf"s, "\xc1\xbf"s, "\xe0\x80\xaf"s, "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s,
        "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xe2\x82"s, "\xf0\x9f\x98"s, "\xe2(\xa1"s}) {
    CsvReader reader(text, "t.csv");
    EXPECT_ERROR(reader.Next(record), ErrorCode::kInvalidData, "not valid UTF-8");
  }
  EXPECT_EQ(ReadAll("\u00e9\u20ac\U0001F600\u0300").size(), 1u);
}

TEST(CsvReader, GoesOnAfterABadRecord) {
  const std::string text = "good\n\"bad\"x,y\nb\xff\nalso good\n";
  CsvReader reader(text, "t.csv");
  CsvRecord record;
  EXPECT_TRUE(*reader.Next(record));
  EXPECT_ERROR(reader.Next(record), ErrorCode::kInvalidData, "t.csv:2:");
  EXPECT_ERROR(reader.Next(record), ErrorCode::kInvalidData, "t.csv:3:");
  EXPECT_TRUE(*reader.Next(record));
  EXPECT_EQ(record.fields, Fields{"also good"});
  EXPECT_EQ(record.line, 4);
  EXPECT_FALSE(*reader.Next(record));
  EXPECT_FALSE(*reader.Next(record));
}

TEST(CsvReader, AnUnendingLineStopsAtTheLimit) {
  const std::string text(50'000'000, 'x');
  CsvReader reader(text, "t.csv");
  CsvRecord record;
  EXPECT_ERROR(reader.Next(record), ErrorCode::kResourceExhausted, "t.csv:1: a field of 50000000");
  EXPECT_FALSE(*reader.Next(record));
}

std::string Written(const Fields& fields, const CsvOptions& options = {}) {
  std::string out;
  const Status status = AppendCsvRecord(fields, out, options);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return out;
}

TEST(AppendCsvRecord, QuotesOnlyWhereNeeded) {
  EXPECT_EQ(Written({"a b", "x, y", "say \"hi\"", "two\nlines", "cr\rhere", "", "caf\u00e9"}),
            "a b,\"x, y\",\"say \"\"hi\"\"\",\"two\nlines\",\"cr\rhere\",,caf\u00e9\n");
  EXPECT_EQ(Written({""}), "\"\"\n");
  EXPECT_EQ(Written({"a;b", "c,d"}, {.delimiter = ';'}), "\"a;b\";c,d\n");
}

TEST(AppendCsvRecord, ReadsBackAsWritten) {
  const std::vector<Fields> records = {{"sentence", "label"},
                                       {"He said \"no\", twice.\r\n", "0"},
                                       {""},
                                       {"\"", "\"\"", ","},
                                       {"", ""},
                                       {"\xef\xbb\xbf", "x"}};
  std::string text;
  for (const Fields& record : records) ASSERT_TRUE(AppendCsvRecord(record, text).ok());
  const auto rows = ReadAll(text);
  ASSERT_EQ(rows.size(), records.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].fields, records[i]);
}

TEST(AppendCsvRecord, WithoutQuotingRefusesWhatItCannotWrite) {
  std::string out = "before";
  EXPECT_TRUE(AppendCsvRecord(Fields{"\"a\"", "b,c"}, out, kTsv).ok());
  EXPECT_EQ(out, "before\"a\"\tb,c\n");
  for (const char* bad : {"a\tb", "a\nb", "a\rb"}) {
    EXPECT_ERROR(AppendCsvRecord(Fields{"x", bad}, out, kTsv), ErrorCode::kInvalidArgument,
                 "field 2: cannot be written without quotes");
    EXPECT_EQ(out, "before\"a\"\tb,c\n");
  }
}

}  // namespace
}  // namespace bertie::formats
