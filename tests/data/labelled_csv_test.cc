#include "data/labelled_csv.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "data/files.h"

namespace bertie::data {
namespace {

class LabelledCsvTest : public FilesTest {
 protected:
  std::string Content(const std::string& name) {
    std::ifstream file(dir_->path() / name, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
};

TEST_F(LabelledCsvTest, ReadsBackAsItWas) {
  Dataset dataset;
  dataset.labels = {"ham", "spam, or \"junk\""};
  dataset.examples = {{"plain", {}, 0, 1},
                      {"comma, \"quote\"", {}, 1, 2},
                      {"two\r\nlines\nand a \rreturn", {}, 0, 3},
                      {" blanks around \t", {}, 1, 4},
                      {"na\xc3\xafve \xf0\x9f\x98\x80", {}, 0, 5}};
  const std::vector<size_t> indices = {4, 2, 1, 3};
  ASSERT_TRUE(WriteLabelledCsv(dir_->path() / "a.csv", dataset, indices).ok());
  EXPECT_TRUE(Content("a.csv").starts_with("sentence,label\n"));
  auto again = LoadDataset((dir_->path() / "a.csv").string());
  ASSERT_TRUE(again.ok()) << again.error().message;
  ASSERT_EQ(again->examples.size(), indices.size());
  for (size_t i = 0; i < indices.size(); ++i) {
    const Example& expected = dataset.examples[indices[i]];
    EXPECT_EQ(again->examples[i].text, expected.text);
    EXPECT_EQ(again->labels[static_cast<size_t>(again->examples[i].label)],
              dataset.labels[static_cast<size_t>(expected.label)]);
  }
}

TEST_F(LabelledCsvTest, PairsHaveTheirOwnHeader) {
  Dataset dataset;
  dataset.labels = {"0", "1"};
  dataset.table.pair_column = 1;
  dataset.examples = {{"a", "b", 1, 1}};
  ASSERT_TRUE(WriteLabelledCsv(dir_->path() / "a.csv", dataset, std::vector<size_t>{0}).ok());
  EXPECT_EQ(Content("a.csv"), "sentence1,sentence2,label\na,b,1\n");
}

TEST_F(LabelledCsvTest, MissingFolderIsAnError) {
  auto status = WriteLabelledCsv(dir_->path() / "no" / "a.csv", Dataset(), {});
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("no/a.csv"), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace bertie::data
