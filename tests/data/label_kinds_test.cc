// Rows with several labels, or with a number.
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "data/files.h"
#include "data/label_text.h"
#include "data/labelled_csv.h"
#include "data/overlap.h"
#include "data/split.h"
#include "data/strata.h"

namespace bertie::data {
namespace {

using Lines = std::vector<std::string>;
using Counts = std::vector<int64_t>;
using Ids = std::vector<int>;

class LabelKindsTest : public FilesTest {
 protected:
  Dataset Load(const std::string& path, const DatasetOptions& options = {}) {
    auto dataset = LoadDataset(path, options);
    EXPECT_TRUE(dataset.ok()) << dataset.error().message;
    return dataset.ok() ? std::move(*dataset) : Dataset();
  }
  std::string LoadError(const std::string& path, const DatasetOptions& options = {}) {
    auto dataset = LoadDataset(path, options);
    EXPECT_FALSE(dataset.ok());
    return dataset.ok() ? "" : Short(dataset.error().message);
  }
};

const DatasetOptions kSeparated{.table = {.label_separator = ";"}};
const DatasetOptions kRegression{.table = {.problem = ProblemType::kRegression}};

TEST_F(LabelKindsTest, ListsOfJsonLinesAreSeveralLabels) {
  const Dataset data = Load(Write("a.jsonl",
                                  "{\"text\": \"one\", \"labels\": [\"b\", \" a \"]}\n"
                                  "{\"text\": \"two\", \"labels\": []}\n"
                                  "{\"text\": \"three\", \"labels\": [\"c\"]}\n"));
  EXPECT_EQ(data.problem(), ProblemType::kMultiLabel);
  EXPECT_EQ(data.labels, (Lines{"a", "b", "c"}));
  EXPECT_EQ(data.label_counts, (Counts{1, 1, 1}));
  EXPECT_EQ(data.examples[0].labels, (Ids{0, 1}));
  EXPECT_EQ(data.examples[1].labels, Ids());
  EXPECT_EQ(Short(DescribeDataset(data)),
            "a.jsonl: jsonl\n"
            "  text: 'text', label: 'labels'\n"
            "  rows: 3\n"
            "  labels (id, name, rows): 0 'a' 1, 1 'b' 1, 2 'c' 1\n"
            "  read as multi-label: lists\n"
            "  line 1: a, b <- 'one'\n"
            "  line 2: no label <- 'two'\n");
}

TEST_F(LabelKindsTest, ListsOfNumbersAreInTheirOrder) {
  const Dataset data = Load(Write("a.jsonl",
                                  "{\"text\": \"one\", \"labels\": [10, 9]}\n"
                                  "{\"text\": \"two\", \"labels\": [2]}\n"));
  EXPECT_EQ(data.labels, (Lines{"2", "9", "10"}));
  EXPECT_EQ(data.examples[0].labels, (Ids{1, 2}));
}

TEST_F(LabelKindsTest, ListsThatAreNoneOfLabelsNameTheirLine) {
  const std::string good = "{\"text\": \"one\", \"labels\": [\"a\"]}\n";
  EXPECT_EQ(LoadError(Write("a.jsonl", good + "{\"text\": \"two\", \"labels\": \"a\"}\n")),
            "a.jsonl:2: 'labels' is a string; expected a list of labels");
  EXPECT_EQ(LoadError(Write("b.jsonl", good + "{\"text\": \"two\"}\n")),
            "b.jsonl:2: 'labels' is absent; expected a list of labels");
  EXPECT_EQ(LoadError(Write("c.jsonl", good + "{\"text\": \"two\", \"labels\": [[1]]}\n")),
            "c.jsonl:2: found an array in a list of labels; expected a string or a number");
  EXPECT_EQ(LoadError(Write("d.jsonl", good + "{\"text\": \"two\", \"labels\": [\"a\", \"\"]}\n")),
            "d.jsonl:2: found \"\" in a list of labels; expected a string or a number");
  // A 0 or 1 for each label is no list of names.
  EXPECT_EQ(LoadError(Write("e.jsonl", good + "{\"text\": \"two\", \"labels\": [0, 1, 0]}\n")),
            "e.jsonl:2: found the label '0' twice; expected each label of the row once (columns of "
            "0 and 1 are read by --labels)");
}

TEST_F(LabelKindsTest, ASeparatorCutsACell) {
  const Dataset data =
      Load(Write("a.csv", "text,label\none,b; a\ntwo,\nthree,a;\nfour, c \n"), kSeparated);
  EXPECT_EQ(data.problem(), ProblemType::kMultiLabel);
  EXPECT_EQ(data.labels, (Lines{"a", "b", "c"}));
  EXPECT_EQ(data.label_counts, (Counts{2, 1, 1}));
  EXPECT_EQ(data.examples[0].labels, (Ids{0, 1}));
  EXPECT_EQ(data.examples[1].labels, Ids());
  EXPECT_EQ(data.examples[2].labels, (Ids{0}));
  EXPECT_EQ(data.examples[3].labels, (Ids{2}));
  EXPECT_EQ(LoadError(Write("b.csv", "text,label\none,a;b;a\n"), kSeparated),
            "b.csv:2: found the label 'a' twice; expected each label of the row once (columns of 0 "
            "and 1 are read by --labels)");
}

TEST_F(LabelKindsTest, NothingIsGuessedOfCells) {
  const Dataset data = Load(Write("a.csv", "text,label\none,a;b\ntwo,a\nthree,a;b\n"));
  EXPECT_EQ(data.problem(), ProblemType::kSingleLabel);
  EXPECT_EQ(data.labels, (Lines{"a", "a;b"}));
  EXPECT_EQ(LoadError(Write("b.csv", "text,label\none,a;b\n"),
                      {.table = {.problem = ProblemType::kMultiLabel}}),
            "b.csv: cannot tell how the labels of a row are written; expected --label-separator "
            "';' where a cell has all of them, or --labels A,B,C for columns of 0 and 1");
}

TEST_F(LabelKindsTest, ColumnsOfZeroAndOneAreLabelsInTheOrderNamed) {
  const DatasetOptions options{.table = {.label_columns = {"toxic", "2"}}};
  const Dataset data =
      Load(Write("a.csv", "comment,spam,toxic\none,1,0\ntwo,0.0,1.0\nthree,True,1\nfour,0,false\n"),
           options);
  EXPECT_EQ(data.labels, (Lines{"toxic", "spam"}));
  EXPECT_EQ(data.label_counts, (Counts{2, 2}));
  EXPECT_EQ(data.examples[0].labels, (Ids{1}));
  EXPECT_EQ(data.examples[2].labels, (Ids{0, 1}));
  EXPECT_EQ(data.examples[3].labels, Ids());
  EXPECT_EQ(LoadError(Write("b.csv", "comment,spam,toxic\none,1,\n"), options),
            "b.csv:2: column 'toxic': found ''; expected 0 or 1");
  EXPECT_EQ(LoadError(Write("c.csv", "comment,spam,toxic\none,1,2\n"), options),
            "c.csv:2: column 'toxic': found '2'; expected 0 or 1");
  const Dataset json = Load(Write("d.jsonl",
                                  "{\"text\": \"one\", \"spam\": 1, \"toxic\": false}\n"
                                  "{\"text\": \"two\", \"spam\": 0, \"toxic\": 1}\n"),
                            {.table = {.label_columns = {"spam", "toxic"}}});
  EXPECT_EQ(json.examples[0].labels, (Ids{0}));
  EXPECT_EQ(json.examples[1].labels, (Ids{1}));
  EXPECT_EQ(LoadError(Write("e.csv", "comment,spam\none,1\n"),
                      {.table = {.label_columns = {"spam", "spam"}}}),
            "e.csv: column 'spam' is named twice; expected a column of its own for each label");
  EXPECT_EQ(LoadError(Write("f.csv", "comment,spam\none,1\n"),
                      {.table = {.label_columns = {"spam"}}, .labels = {"spam", "toxic"}}),
            "f.csv: found no column of the label 'toxic' among --labels; expected one for each of "
            "'spam', 'toxic'");
}

TEST_F(LabelKindsTest, KnownLabelsKeepTheirIds) {
  DatasetOptions options = kSeparated;
  options.labels = {"c", "a", "b"};
  const Dataset data = Load(Write("a.csv", "text,label\none,a;c\ntwo,\n"), options);
  EXPECT_EQ(data.examples[0].labels, (Ids{0, 1}));
  EXPECT_EQ(data.label_counts, (Counts{1, 1, 0}));
  EXPECT_EQ(LoadError(Write("b.csv", "text,label\none,a;x\n"), options),
            "b.csv:2: found the label 'x'; expected one of 'c', 'a', 'b'");
}

TEST_F(LabelKindsTest, FastTextLinesAreReadAsTheyAre) {
  const Dataset one = Load(Write("a.txt", "__label__ham the sea\n__label__spam  win it \n"));
  EXPECT_EQ(one.problem(), ProblemType::kSingleLabel);
  EXPECT_EQ(one.table.format, TableFormat::kFastText);
  EXPECT_EQ(one.labels, (Lines{"ham", "spam"}));
  EXPECT_EQ(one.examples[1].text, "win it");
  const Dataset several =
      Load(Write("b.txt", "__label__a the sea\n\n__label__b __label__a it\nrain\n"));
  EXPECT_EQ(several.problem(), ProblemType::kMultiLabel);
  EXPECT_EQ(several.examples[1].labels, (Ids{0, 1}));
  EXPECT_EQ(several.examples[1].line, 3);
  EXPECT_EQ(several.examples[2].labels, Ids());
  EXPECT_EQ(LoadError(Write("c.txt", "__label__a the sea\nrain\n")),
            "c.txt:2: found 0 labels; expected one (--multi-label: any number of them)");
  EXPECT_EQ(LoadError(Write("d.txt", "__label__a the sea\n__label__ rain\n")),
            "d.txt:2: found '__label__' without a name behind it");
}

TEST_F(LabelKindsTest, NumbersAreReadStrictly) {
  const Dataset data =
      Load(Write("a.csv", "sentence1,sentence2,score\na,b,3.5\nc,d,-1\ne,f,1e-3\n"), kRegression);
  EXPECT_EQ(data.problem(), ProblemType::kRegression);
  EXPECT_TRUE(data.labels.empty());
  EXPECT_EQ(data.examples[0].number, 3.5);
  EXPECT_EQ(data.examples[1].number, -1);
  EXPECT_EQ(data.examples[2].number, 1e-3);
  EXPECT_EQ(data.examples[2].pair, "f");
  for (const char* bad :
       {"nan", "inf", "-inf", "1e39", "3.5.", "1;5", "0x10", "three", "+1", "1 2"}) {
    EXPECT_EQ(
        LoadError(Write("b.csv", std::string("text,label\na,1\nb,") + bad + "\n"), kRegression),
        "b.csv:3: the label ('label') is '" + std::string(bad) +
            "'; expected a finite number, such as 3, -0.5 or 1e-3");
  }
  EXPECT_EQ(LoadError(Write("c.csv", "text,label\na,1\nb,\n"), kRegression),
            "c.csv:3: the label ('label') is empty");
  const Dataset skipped = Load(Write("d.csv", "text,label\na,1\nb,x\nc,2\nd,nan\n"),
                               {.table = kRegression.table, .skip_bad = true});
  EXPECT_EQ(skipped.examples.size(), 2u);
  EXPECT_EQ(skipped.bad_lines, (Counts{3, 5}));
  const Dataset json = Load(Write("e.jsonl", "{\"text\": \"a\", \"label\": 0.25}\n"), kRegression);
  EXPECT_EQ(json.examples[0].number, 0.25);
}

TEST_F(LabelKindsTest, TheColumnOfNumbersIsFound) {
  const Dataset named = Load(Write("a.csv", "id,text,rating\nx,one,2.5\ny,two,3\n"), kRegression);
  EXPECT_EQ(named.examples[1].number, 3);
  const Dataset unnamed = Load(Write("b.csv", "a text,2.5\nanother,3\na third,1\n"), kRegression);
  EXPECT_EQ(unnamed.examples.size(), 3u);
  EXPECT_FALSE(unnamed.table.has_header);
  const Dataset header = Load(Write("c.csv", "what,much\na text,2.5\nanother,3\n"), kRegression);
  EXPECT_TRUE(header.table.has_header);
  EXPECT_EQ(header.examples.size(), 2u);
}

TEST_F(LabelKindsTest, ManyDifferentNumbersAsLabelsAreAnErrorThatNamesTheFlag) {
  std::string content = "text,label\n";
  for (int i = 0; i < 300; ++i) content += "some text," + std::to_string(i) + ".5\n";
  const std::string message = LoadError(Write("a.csv", content));
  EXPECT_TRUE(message.ends_with("numbers to be predicted as numbers are read by --regression"))
      << message;
}

TEST_F(LabelKindsTest, AllBadLinesAreTold) {
  std::string content = "text,label\n";
  for (int i = 0; i < 12; ++i) content += i % 2 == 0 ? "a,1\n" : "b\n";
  const Dataset data = Load(Write("a.csv", content + "c,0\n"), {.skip_bad = true});
  EXPECT_EQ(data.bad_lines, (Counts{3, 5, 7, 9, 11, 13}));
  EXPECT_NE(DescribeDataset(data).find("left out too: lines 13\n"), std::string::npos);
}

TEST_F(LabelKindsTest, WhatIsWrittenIsReadBack) {
  const Dataset data = Load(Write("a.jsonl",
                                  "{\"text\": \"one\", \"labels\": [\"a;b\", \"c\"]}\n"
                                  "{\"text\": \"two\", \"labels\": []}\n"));
  EXPECT_EQ(LabelSeparator(data.labels), "|");
  const std::string path = Write("b.csv", "");
  ASSERT_TRUE(WriteLabelledCsv(path, data, std::vector<size_t>{1, 0}).ok());
  const Dataset again = Load(path, {.table = {.label_separator = "|"}});
  EXPECT_EQ(again.labels, data.labels);
  EXPECT_EQ(again.examples[1].labels, data.examples[0].labels);
  const Dataset numbers = Load(Write("c.csv", "text,label\na,0.1\nb,1e-30\n"), kRegression);
  ASSERT_TRUE(WriteLabelledCsv(path, numbers, std::vector<size_t>{0, 1}).ok());
  EXPECT_EQ(Load(path, kRegression).examples[1].number, 1e-30);
  EXPECT_EQ(LabelSeparator(Lines{";|,/^~"}), "");
}

TEST_F(LabelKindsTest, OtherLabelsContradict) {
  const Dataset data = Load(Write("a.csv", "text,label\none,a;b\none,b;a\none,a\n"), kSeparated);
  EXPECT_EQ(FindRepetitions(data.examples).repeated, 2);
  EXPECT_EQ(FindRepetitions(data.examples).contradicting, 1);
  const Dataset numbers = Load(Write("b.csv", "text,label\none,1\none,1.0\none,2\n"), kRegression);
  EXPECT_EQ(FindRepetitions(numbers.examples).contradicting, 1);
}

// Rare labels and each tenth of the numbers come into both parts in proportion.
TEST_F(LabelKindsTest, StrataKeepRareLabelsAndNumbersInProportion) {
  std::string labels = "text,label\n", numbers = "text,label\n";
  for (int i = 0; i < 400; ++i) {
    const std::string text = "text " + std::to_string(i);
    labels += text + "," + (i % 2 == 0 ? "common" : "") + (i % 20 == 0 ? ";rare" : "") + "\n";
    numbers += text + "," + std::to_string(i % 100) + "\n";
  }
  const SplitOptions options{.test_fraction = 0.25, .stratify = true};
  const Dataset several = Load(Write("a.csv", labels), kSeparated);
  const auto split = SplitIndices(MakeStrata(several), options);
  ASSERT_TRUE(split.ok());
  Counts counts(2);
  for (const size_t i : split->test) {
    CountLabels(several.examples[i], several.problem(), counts);
  }
  EXPECT_EQ(counts, (Counts{50, 5}));  // of 200 and 20
  const Dataset regression = Load(Write("b.csv", numbers), kRegression);
  const auto tenths = SplitIndices(MakeStrata(regression), options);
  ASSERT_TRUE(tenths.ok());
  Counts by_tenth(10);
  for (const size_t i : tenths->test) {
    ++by_tenth[static_cast<size_t>(regression.examples[i].number / 10)];
  }
  EXPECT_EQ(by_tenth, Counts(10, 10));
}

}  // namespace
}  // namespace bertie::data
