#include "data/dataset.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "data/files.h"

namespace bertie::data {
namespace {

using Lines = std::vector<std::string>;
using Counts = std::vector<int64_t>;

class DatasetTest : public FilesTest {
 protected:
  std::string LoadError(const std::string& path, const DatasetOptions& options = {}) {
    auto dataset = LoadDataset(path, options);
    EXPECT_FALSE(dataset.ok());
    return dataset.ok() ? "" : Short(dataset.error().message);
  }
};

TEST_F(DatasetTest, LearnsLabelsInByteOrder) {
  auto dataset = LoadDataset(Write("a.csv", "text,label\na,spam\nb,ham\nc,spam\nd,Ham\n"));
  ASSERT_TRUE(dataset.ok()) << dataset.error().message;
  EXPECT_EQ(dataset->labels, (Lines{"Ham", "ham", "spam"}));
  EXPECT_EQ(dataset->label_counts, (Counts{1, 1, 2}));
  ASSERT_EQ(dataset->examples.size(), 4u);
  EXPECT_EQ(dataset->examples[1].text, "b");
  EXPECT_EQ(dataset->examples[1].label, 1);
  EXPECT_EQ(dataset->examples[1].line, 3);
  EXPECT_FALSE(dataset->examples[1].pair.has_value());
}

TEST_F(DatasetTest, WholeNumbersAreInNumericOrder) {
  auto dataset = LoadDataset(Write("a.csv", "text,label\na,10\nb,9\nc,-1\n"));
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ(dataset->labels, (Lines{"-1", "9", "10"}));
  EXPECT_EQ(dataset->examples[0].label, 2);
  EXPECT_EQ(SortedLabels({"10", "9", "x"}), (Lines{"10", "9", "x"}));
}

TEST_F(DatasetTest, TestDataIsMappedOntoGivenLabels) {
  auto dataset = LoadDataset(Write("a.csv", "text,label\na,b\nb,b\n"), {.labels = {"c", "b", "a"}});
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ(dataset->labels, (Lines{"c", "b", "a"}));
  EXPECT_EQ(dataset->label_counts, (Counts{0, 2, 0}));
  EXPECT_EQ(dataset->examples[0].label, 1);
}

TEST_F(DatasetTest, UnknownLabelNamesItsLineAndTheKnownOnes) {
  EXPECT_EQ(LoadError(Write("a.csv", "text,label\na,ham\nb,egg\n"), {.labels = {"ham", "spam"}}),
            "a.csv:3: found the label 'egg'; expected one of 'ham', 'spam'");
}

TEST_F(DatasetTest, NumbersStandForLabelsWithoutNames) {
  const DatasetOptions unnamed{.labels = {"LABEL_0", "LABEL_1"}};
  auto dataset = LoadDataset(Write("a.csv", "text,label\na,1\nb,LABEL_0\n"), unnamed);
  ASSERT_TRUE(dataset.ok()) << dataset.error().message;
  EXPECT_EQ(dataset->examples[0].label, 1);
  EXPECT_EQ(dataset->examples[1].label, 0);
  EXPECT_EQ(LoadError(Write("b.csv", "text,label\na,2\n"), unnamed),
            "b.csv:2: found the label '2'; expected one of 'LABEL_0', 'LABEL_1'");
  EXPECT_FALSE(
      LoadDataset(Write("c.csv", "text,label\na,1\n"), {.labels = {"LABEL_0", "good"}}).ok());
}

TEST_F(DatasetTest, BadRowIsAnErrorUnlessTheyAreSkipped) {
  const std::string path =
      Write("a.csv", "text,label\na,1\nb\nc,0\n,1\nd,\n\"e,1\nf,0\n\xff,0\ng,1\n");
  EXPECT_EQ(LoadError(path), "a.csv:3: found 1 columns; expected 2 as in the first row");
  auto dataset = LoadDataset(path, {.skip_bad = true});
  ASSERT_TRUE(dataset.ok()) << dataset.error().message;
  EXPECT_EQ(dataset->examples.size(), 4u);
  EXPECT_EQ(dataset->skipped, 5);
  ASSERT_EQ(dataset->bad_rows.size(), 5u);
  EXPECT_EQ(Short(dataset->bad_rows[3]), "a.csv:7: a quoted field begins here and never ends");
  EXPECT_EQ(dataset->examples[3].line, 10);
}

TEST_F(DatasetTest, ExamplesLeftOutAreBadRowsInTheOrderOfTheFile) {
  auto dataset =
      LoadDataset(Write("a.csv", "text,label\na,1\nb\nc,0\nd,1\ne\nf,0\n"), {.skip_bad = true});
  ASSERT_TRUE(dataset.ok()) << dataset.error().message;
  ASSERT_TRUE(LeaveOut({{0, "first"}, {2, "third"}}, *dataset).ok());
  EXPECT_EQ(dataset->examples.size(), 2u);
  EXPECT_EQ(dataset->examples[1].text, "f");
  EXPECT_EQ(dataset->label_counts, (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(dataset->skipped, 4);
  EXPECT_EQ(dataset->bad_lines, (std::vector<int64_t>{2, 3, 5, 6}));
  EXPECT_EQ(dataset->bad_rows[0], "first");
  EXPECT_EQ(dataset->bad_rows[2], "third");
  const Status none = LeaveOut({{0, "x"}, {1, "y"}}, *dataset);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(Short(none.error().message), "a.csv: found no usable row");
}

TEST_F(DatasetTest, SkippedUnknownLabelsAreCounted) {
  auto dataset = LoadDataset(Write("a.csv", "text,label\na,x\nb,y\nc,z\n"),
                             {.labels = {"x", "y"}, .skip_bad = true});
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ(dataset->examples.size(), 2u);
  EXPECT_EQ(dataset->skipped, 1);
}

TEST_F(DatasetTest, MostlyBadRowsAreAnErrorEvenWhenSkipped) {
  std::string content = "text,label\na,1\nb,0\n";
  for (int i = 0; i < 2000; ++i) content += "one column\n";
  const std::string message = LoadError(Write("a.csv", content), {.skip_bad = true});
  EXPECT_TRUE(message.starts_with("a.csv: found 1000 bad rows and 2 good ones")) << message;
}

TEST_F(DatasetTest, OneLabelOnlyIsAnError) {
  EXPECT_EQ(LoadError(Write("a.csv", "text,label\na,1\nb,1\n")),
            "a.csv: all 2 rows have the label '1'; expected two labels at least");
  EXPECT_TRUE(LoadDataset(Write("b.csv", "text,label\na,1\nb,1\n"), {.labels = {"0", "1"}}).ok());
}

TEST_F(DatasetTest, ColumnOfIdsIsNotTakenForLabels) {
  std::string content = "text,label\n";
  for (int i = 0; i < 300; ++i) content += "some text,id" + std::to_string(i) + "\n";
  const std::string message = LoadError(Write("a.csv", content));
  EXPECT_TRUE(message.starts_with("a.csv: found 300 labels in 300 rows ('id0', ")) << message;
}

TEST_F(DatasetTest, NoUsableRowIsAnError) {
  EXPECT_EQ(LoadError(Write("a.csv", "text,label\n")), "a.csv: found no usable row");
  EXPECT_EQ(LoadError(Write("b.csv", "text,label\n,\n"), {.skip_bad = true}),
            "b.csv: found no usable row");
}

TEST_F(DatasetTest, PlainTextHasNoLabels) {
  EXPECT_EQ(LoadError(Write("a.txt", "x\n"), {.table = {.format = TableFormat::kText}}),
            "a.txt: plain text has no labels; expected csv, tsv or jsonl");
}

TEST_F(DatasetTest, DescriptionSaysWhatWasTaken) {
  auto dataset =
      LoadDataset(Write("a.csv", "text;label\na, b;1\nc;0\nd;1\ne\n"), {.skip_bad = true});
  ASSERT_TRUE(dataset.ok()) << dataset.error().message;
  EXPECT_EQ(Short(DescribeDataset(*dataset)),
            "a.csv: csv with delimiter ';' with a header\n"
            "  text: 'text', label: 'label'\n"
            "  rows: 3, bad rows left out: 1\n"
            "  labels: '0' 1, '1' 2\n"
            "  left out: " +
                dataset->bad_rows[0] + "\n");
}

TEST_F(DatasetTest, ReadsCola) {
  const char* cola = std::getenv("BERTIE_COLA");
  if (cola == nullptr) GTEST_SKIP() << "BERTIE_COLA (folder of CoLA's raw tsv files) is not set";
  auto train = LoadDataset(std::string(cola) + "/in_domain_train.tsv");
  ASSERT_TRUE(train.ok()) << train.error().message;
  EXPECT_EQ(train->examples.size(), 8551u);
  EXPECT_EQ(train->labels, (Lines{"0", "1"}));
  EXPECT_EQ(train->label_counts, (Counts{2528, 6023}));
  EXPECT_EQ(train->examples[0].text,
            "Our friends won't buy this analysis, let alone the next one we propose.");
  auto dev = LoadDataset(std::string(cola) + "/out_of_domain_dev.tsv", {.labels = train->labels});
  ASSERT_TRUE(dev.ok()) << dev.error().message;
  EXPECT_EQ(dev->examples.size(), 516u);
}

}  // namespace
}  // namespace bertie::data
