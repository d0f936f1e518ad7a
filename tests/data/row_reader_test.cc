#include "data/row_reader.h"

#include <gtest/gtest.h>

#include "data/block_reader.h"
#include "data/files.h"
#include "data/random.h"
#include "formats/csv.h"

namespace bertie::data {
namespace {

class RowReaderTest : public FilesTest {
 protected:
  RowReader Open(const std::string& path, const TableOptions& options = {}) {
    auto reader = RowReader::Open(path, options);
    EXPECT_TRUE(reader.ok()) << reader.error().message;
    return std::move(*reader);
  }
  std::string OpenError(const std::string& path, const TableOptions& options = {}) {
    auto reader = RowReader::Open(path, options);
    EXPECT_FALSE(reader.ok());
    return reader.ok() ? "" : Short(reader.error().message);
  }
  // "line|text|pair|label" of each row, and the messages of bad ones.
  std::vector<std::string> Rows(RowReader& reader) {
    std::vector<std::string> rows;
    Row row;
    for (;;) {
      auto more = reader.Next(row);
      if (!more.ok()) {
        rows.push_back(Short(more.error().message));
        if (rows.size() > 1000) return rows;
        continue;
      }
      if (!*more) return rows;
      rows.push_back(std::to_string(row.line) + "|" + row.text + "|" + row.pair.value_or("-") +
                     "|" + row.label.value_or("-"));
    }
  }
  std::vector<std::string> Rows(const std::string& path, const TableOptions& options = {}) {
    RowReader reader = Open(path, options);
    return Rows(reader);
  }
};

using Lines = std::vector<std::string>;

TEST_F(RowReaderTest, CsvWithHeaderAndQuotes) {
  RowReader reader = Open(
      Write("a.csv", "\xef\xbb\xbfid,Sentence,Label\r\n1,\"a, \"\"b\"\"\nc\",x\r\n2,d, y \r\n"));
  EXPECT_EQ(Rows(reader), (Lines{"2|a, \"b\"\nc|-|x", "4|d|-|y"}));
  EXPECT_EQ(reader.report().columns, (Lines{"id", "Sentence", "Label"}));
  EXPECT_TRUE(reader.report().has_header);
  EXPECT_EQ(reader.report().format, TableFormat::kCsv);
  EXPECT_EQ(reader.report().text_column, 1);
  EXPECT_EQ(reader.report().label_column, 2);
}

TEST_F(RowReaderTest, ColasFourColumns) {
  const std::string cola =
      "gj04\t1\t\tThe sailors rode the breeze.\n"
      "cj99\t0\t*\tAs you eat the most, you want the \"least.\n"
      "cj99\t1\t\t\"Quoted\", he said.\n";
  for (const char* name : {"train.tsv", "train", "train.txt"}) {
    RowReader reader = Open(Write(name, cola));
    EXPECT_EQ(Rows(reader), (Lines{"1|The sailors rode the breeze.|-|1",
                                   "2|As you eat the most, you want the \"least.|-|0",
                                   "3|\"Quoted\", he said.|-|1"}));
    EXPECT_FALSE(reader.report().has_header);
    EXPECT_FALSE(reader.report().quoted);
    EXPECT_EQ(reader.report().format, TableFormat::kTsv);
    EXPECT_EQ(reader.report().columns[3], "column 4");
  }
}

TEST_F(RowReaderTest, TsvWithRfcQuotingIsSeen) {
  EXPECT_EQ(Rows(Write("a.tsv", "text\tlabel\n\"he said \"\"no\"\"\"\t1\nplain\t0\n")),
            (Lines{"2|he said \"no\"|-|1", "3|plain|-|0"}));
  EXPECT_EQ(Rows(Write("b.tsv", "text\tlabel\n\"two\nlines\"\t1\nplain\t0\n")),
            (Lines{"2|two\nlines|-|1", "4|plain|-|0"}));
}

TEST_F(RowReaderTest, LoneQuotationInTsvStaysAsItIs) {
  EXPECT_EQ(Rows(Write("a.tsv", "text\tlabel\n\"Go!\"\t1\nplain\t0\n")),
            (Lines{"2|\"Go!\"|-|1", "3|plain|-|0"}));
}

TEST_F(RowReaderTest, JsonLines) {
  RowReader reader = Open(Write("a.jsonl",
                                "{\"label\": 1, \"text\": \"a\\tb\", \"x\": [1]}\n\n"
                                "{\"text\": \"c\", \"label\": \"0\"}\r\n"));
  EXPECT_EQ(Rows(reader), (Lines{"1|a\tb|-|1", "3|c|-|0"}));
  EXPECT_EQ(reader.report().format, TableFormat::kJsonl);
}

TEST_F(RowReaderTest, FormIsSeenWithoutAnExtension) {
  EXPECT_EQ(Open(Write("a", "{\"text\": \"a\", \"label\": 1}\n")).report().format,
            TableFormat::kJsonl);
  EXPECT_EQ(Open(Write("b", "text,label\na,1\n")).report().format, TableFormat::kCsv);
  EXPECT_EQ(Open(Write("c", "text\tlabel\na\t1\n")).report().format, TableFormat::kTsv);
  EXPECT_EQ(Open(Write("d", "text;label\na, b;1\nc;0\n")).report().delimiter, ';');
}

TEST_F(RowReaderTest, HeaderlessCsvByContent) {
  RowReader reader = Open(Write("a.csv",
                                "spam,win a prize now\nham,see you at lunch\n"
                                "spam,cheap pills\nham,call me\n"));
  EXPECT_FALSE(reader.report().has_header);
  EXPECT_EQ(Rows(reader)[1], "2|see you at lunch|-|ham");
}

TEST_F(RowReaderTest, ColumnsByNameAndNumber) {
  const std::string path = Write("a.csv", "a,b,c\nx,long long text,1\ny,text,0\n");
  EXPECT_EQ(Rows(path, {.text_column = "a", .label_column = "c"}), (Lines{"2|x|-|1", "3|y|-|0"}));
  EXPECT_EQ(Rows(path, {.text_column = "2", .label_column = "c"})[0], "2|long long text|-|1");
  EXPECT_EQ(
      Rows(path,
           {.text_column = "2", .pair_column = "1", .label_column = "3", .has_header = true})[0],
      "2|long long text|x|1");
  EXPECT_EQ(Rows(path, {.text_column = "2", .label_column = "1", .has_header = false}).size(), 3u);
}

TEST_F(RowReaderTest, PairsAreTakenByTheirNames) {
  EXPECT_EQ(Rows(Write("a.tsv", "premise\thypothesis\tlabel\na\tb\t1\n")), (Lines{"2|a|b|1"}));
  EXPECT_EQ(Rows(Write("b.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n")),
            (Lines{"2|a|b|1"}));
}

TEST_F(RowReaderTest, UnknownHeaderIsSeenByItsNumbers) {
  RowReader reader = Open(Write("a.csv", "v1,v2\n1,some words\n0,other words\n"));
  EXPECT_TRUE(reader.report().has_header);
  EXPECT_EQ(Rows(reader), (Lines{"2|some words|-|1", "3|other words|-|0"}));
}

TEST_F(RowReaderTest, UnknownHeaderOverNamesIsAsked) {
  std::string content = "v1,v2\n";
  for (int i = 0; i < 30; ++i) content += i % 3 ? "ham,see you there\n" : "spam,win a prize\n";
  const std::string path = Write("a.csv", content);
  EXPECT_EQ(OpenError(path),
            "a.csv:1: found the label 'v1', which no other row has. If line 1 is a header, add "
            "--header; if it is a row, add --no-header");
  EXPECT_EQ(Rows(path, {.has_header = true}).size(), 30u);
  EXPECT_EQ(Rows(path, {.has_header = false}).size(), 31u);
}

TEST_F(RowReaderTest, ErrorsOfTheForm) {
  EXPECT_EQ(OpenError(Write("a.csv", "")), "a.csv: is empty");
  EXPECT_EQ(OpenError(Write("b.csv", "\n\n")), "b.csv: found no rows");
  EXPECT_TRUE(OpenError(Write("c.csv", "\xff\xfeh\0i\0")).starts_with("c.csv:1: found UTF-16"));
  EXPECT_TRUE(OpenError(Write("d.json", "[{\"text\": \"a\"}]"))
                  .starts_with("d.json:1: found a JSON array"));
  EXPECT_EQ(OpenError(Write("e.csv", "text,label\na,1\n"), {.label_column = "clas"}),
            "e.csv: found no column 'clas' for the label; expected one of 1: 'text', 2: 'label'");
  EXPECT_EQ(OpenError(Write("f.csv", "text,label\na,1\n"), {.label_column = "3"}),
            "f.csv: found no column '3' for the label; expected one of 1: 'text', 2: 'label'");
  EXPECT_EQ(
      OpenError(Write("g.csv", "text,label\na,1\n"), {.text_column = "2", .label_column = "label"}),
      "g.csv: column 2 is named for the text and for the label; expected two columns");
  const std::string unclear = OpenError(Write("h.csv",
                                              "1,a long text,x\n2,another text,y\n"
                                              "1,some more text,x\n2,more of it,y\n"));
  EXPECT_TRUE(unclear.starts_with("h.csv: cannot tell which column holds the labels")) << unclear;
  EXPECT_NE(unclear.find("--label-column NAME_OR_NUMBER"), std::string::npos);
  EXPECT_FALSE(RowReader::Open((dir_->path() / "no.csv").string(), {}).ok());
}

TEST_F(RowReaderTest, BadRowsNameTheirLineAndReadingGoesOn) {
  EXPECT_EQ(Rows(Write("a.csv", "text,label\na,1\nb\n,0\nc,\nd,1,2\n\xff,1\n\"e\"f,1\ng,0\n")),
            (Lines{"2|a|-|1", "a.csv:3: found 1 columns; expected 2 as in the first row",
                   "a.csv:4: the text ('text') is empty", "a.csv:5: the label ('label') is empty",
                   "a.csv:6: found 3 columns; expected 2 as in the first row",
                   "a.csv:7: field 1: is not valid UTF-8: '\\xff'",
                   "a.csv:8: found 'f' after a closing quote, expected the delimiter or the line's "
                   "end",
                   "9|g|-|0"}));
}

TEST_F(RowReaderTest, StrayQuoteLosesOneRow) {
  const auto rows = Rows(Write("a.csv", "text,label\na,1\n\"b,1\nc,0\nd,1\n"));
  EXPECT_EQ(rows, (Lines{"2|a|-|1", "a.csv:3: a quoted field begins here and never ends", "4|c|-|0",
                         "5|d|-|1"}));
}

TEST_F(RowReaderTest, BadJsonLines) {
  const auto rows = Rows(Write("a.jsonl",
                               "{\"text\": \"a\", \"label\": 1}\n{\"text\": }\n[]\n{\"label\": 1}\n"
                               "{\"text\": \"b\"}\n{\"text\": \"b\", \"label\": [1]}\n"
                               "{\"text\": \"c\", \"label\": 0}"));
  ASSERT_EQ(rows.size(), 7u);
  EXPECT_TRUE(rows[1].starts_with("a.jsonl:2:10: ")) << rows[1];
  EXPECT_TRUE(rows[2].starts_with("a.jsonl:3: found an array")) << rows[2];
  EXPECT_EQ(rows[3], "a.jsonl:4: found no text ('text')");
  EXPECT_EQ(rows[4], "a.jsonl:5: the label ('label') is empty");
  EXPECT_EQ(rows[5],
            "a.jsonl:6: 'label' is an array; expected a string or a number (--multi-label reads "
            "lists of labels)");
  EXPECT_EQ(rows[6], "7|c|-|0");
}

TEST_F(RowReaderTest, JsonTextsThatCsvCannotHold) {
  const auto rows = Rows(Write("a.jsonl",
                               "{\"text\": \"ok\", \"label\": 1}\n"
                               "{\"text\": \"a\\u0000b\", \"label\": 1}\n"
                               "{\"text\": \"" +
                                   std::string(size_t{2} << 20, 'x') + "\", \"label\": 1}\n"));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1], "a.jsonl:2: holds a NUL character");
  EXPECT_EQ(rows[2], "a.jsonl:3: found a text of 2097152 bytes; expected at most 1048576");
}

TEST_F(RowReaderTest, TextGivesOneRowForEachLine) {
  const TableOptions text{.format = TableFormat::kText, .need_label = false};
  EXPECT_EQ(Rows(Write("a", "\xef\xbb\xbfone, two\r\n\n\"three\nfour"), text),
            (Lines{"1|one, two|-|-", "2||-|-", "3|\"three|-|-", "4|four|-|-"}));
  EXPECT_EQ(Rows(Write("b", ""), text), Lines{});
  EXPECT_EQ(Rows(Write("c", "ok\nab\xc3(\nok\n"), text),
            (Lines{"1|ok|-|-", "c:2: byte 3 of the line is not UTF-8: '\\xc3('", "3|ok|-|-"}));
}

TEST_F(RowReaderTest, LabelsAreNotAskedForWhereTheyAreNotNeeded) {
  const TableOptions free{.need_label = false};
  EXPECT_EQ(Rows(Write("a.csv", "id,text\n1,a\n2,\n"), free), (Lines{"2|a|-|-", "3||-|-"}));
  EXPECT_EQ(Rows(Write("b.csv", "only column\nwith, comma\n"),
                 {.delimiter = ';', .has_header = false, .need_label = false}),
            (Lines{"1|only column|-|-", "2|with, comma|-|-"}));
}

TEST_F(RowReaderTest, LineNumbersHoldAcrossBlocks) {
  std::string content = "text,label\n";
  int64_t rows = 0;
  while (content.size() < 3 * BlockReader::kBlock) {
    content +=
        "\"two\r\nlines " + std::string(1000, 'x') + "\"," + std::to_string(rows % 2) + "\r\n";
    ++rows;
  }
  content += "last\n";
  RowReader reader = Open(Write("a.csv", content));
  Row row;
  for (int64_t i = 0; i < rows; ++i) {
    auto more = reader.Next(row);
    ASSERT_TRUE(more.ok() && *more) << more.error().message;
    ASSERT_EQ(row.line, 2 + 2 * i);
  }
  auto last = reader.Next(row);
  ASSERT_FALSE(last.ok());
  EXPECT_TRUE(Short(last.error().message).starts_with("a.csv:" + std::to_string(2 + 2 * rows)));
}

// What the reader gives in blocks is what the csv reader gives of the whole.
TEST_F(RowReaderTest, BlocksChangeNothing) {
  Random random(3);
  const std::string pieces[] = {
      "\"\"", "\n", "\r\n", ",", "word ", "\xc3\xa9", "a long stretch of words "};
  std::string content = "text,label\n";
  while (content.size() < 3 * BlockReader::kBlock) {
    content += "\"";
    for (uint64_t i = random.Below(40); i > 0; --i) content += pieces[random.Below(7)];
    content += random.Below(100) == 0 ? "\"broken,0\n" : "x\",0\n";
    if (random.Below(50) == 0) content += "plain \"\"text,1\r\n";
  }
  formats::CsvReader whole(content, "", {});
  formats::CsvRecord record;
  ASSERT_TRUE(*whole.Next(record));  // the header
  RowReader reader = Open(Write("a.csv", content));
  Row row;
  for (int64_t count = 0;; ++count) {
    const auto expected = whole.Next(record);
    const auto found = reader.Next(row);
    ASSERT_EQ(found.ok(), expected.ok()) << count;
    if (!found.ok()) {
      const std::string message = Short(found.error().message);
      ASSERT_EQ(message, "a.csv" + expected.error().message);
      continue;
    }
    ASSERT_EQ(*found, *expected) << count;
    if (!*found) break;
    ASSERT_EQ(row.text, record.fields[0]);
    ASSERT_EQ(row.line, record.line);
  }
}

// Damaged files give rows and errors, and an end; never a crash (sanitizers run this too).
TEST_F(RowReaderTest, SurvivesDamage) {
  const std::string seeds[] = {
      "text,label\n\"a, \"\"b\"\"\nc\",x\nd,y\n", "gj04\t1\t\tThe sea.\ngj04\t0\t*\tSea the.\n",
      "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": [2]}\n",
      "sentence1;sentence2;label\r\na;b;1\r\n\xef\xbb\xbf;c;0\r\n"};
  const char bytes[] = {'"', '\n', '\r', ',', '\t', '\0', '{', '[', '\xff', '\xef', '1', '\\'};
  Random random(11);
  for (int round = 0; round < 1000; ++round) {
    std::string content = seeds[random.Below(4)];
    for (uint64_t edits = random.Below(6); edits > 0; --edits) {
      const size_t at = random.Below(content.size() + 1);
      const uint64_t kind = random.Below(3);
      if (kind == 0) content.insert(at, 1, bytes[random.Below(sizeof(bytes))]);
      if (kind == 1 && at < content.size()) content[at] = bytes[random.Below(sizeof(bytes))];
      if (kind == 2) content.erase(at, random.Below(9));
    }
    auto reader = RowReader::Open(Write("damaged", content), {.need_label = random.Below(2) == 0});
    if (!reader.ok()) continue;
    Row row;
    int calls = 0;
    for (;; ++calls) {
      ASSERT_LT(calls, 1000) << content;
      const auto more = reader->Next(row);
      if (more.ok() && !*more) break;
    }
  }
}

TEST_F(RowReaderTest, LineOfManyMegabytesIsOneBadRow) {
  const std::string long_line(BlockReader::kMaxRecord + 3 * BlockReader::kBlock, 'x');
  const TableOptions text{.format = TableFormat::kText, .need_label = false};
  const auto rows = Rows(Write("a", "one\n" + long_line + "\nthree\n"), text);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0], "1|one|-|-");
  EXPECT_TRUE(rows[1].starts_with("a:2: found a line of ")) << rows[1];
  EXPECT_EQ(rows[2], "3|three|-|-");
}

}  // namespace
}  // namespace bertie::data
