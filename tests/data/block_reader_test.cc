#include "data/block_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "data/files.h"

namespace bertie::data {
namespace {

constexpr RecordEnds kLines{};
constexpr RecordEnds kQuoted{.quoted = true, .delimiter = ','};

TEST(WholeRecords, EndAtTheLastLineEnd) {
  EXPECT_EQ(WholeRecords("a\nb\nc", kLines), 4u);
  EXPECT_EQ(WholeRecords("abc", kLines), 0u);
  EXPECT_EQ(WholeRecords("", kLines), 0u);
}

TEST(WholeRecords, LineEndsInQuotesDoNotCount) {
  EXPECT_EQ(WholeRecords("a,\"b\nc\"\nd", kQuoted), 8u);
  EXPECT_EQ(WholeRecords("a,\"b\nc\n", kQuoted), 0u);
  EXPECT_EQ(WholeRecords("a,\"b\"\"\nc\"\n", kQuoted), 10u);
  EXPECT_EQ(WholeRecords("x\n\"b\n", kQuoted), 2u);
}

TEST(WholeRecords, QuotesInsideAnUnquotedFieldArePlain) {
  EXPECT_EQ(WholeRecords("5\" disk,1\n", kQuoted), 10u);
  EXPECT_EQ(WholeRecords("say \"\"hi,1\n", kQuoted), 11u);
}

TEST(CountLineEnds, TakesEachKindOnce) {
  EXPECT_EQ(CountLineEnds("a\nb\r\nc\rd"), 3);
  EXPECT_EQ(CountLineEnds("\r\r\n\n"), 3);
}

class BlockReaderTest : public FilesTest {
 protected:
  // All blocks laid end to end, each of them checked to end with a record.
  std::string ReadAll(BlockReader& reader, const RecordEnds& ends, int* blocks = nullptr) {
    std::string all;
    for (;;) {
      auto block = reader.Next(ends);
      EXPECT_TRUE(block.ok()) << block.error().message;
      if (!block.ok() || block->empty()) return all;
      all += *block;
      if (blocks != nullptr) ++*blocks;
      if (!reader.at_end()) {
        EXPECT_TRUE(block->ends_with('\n'));
      }
    }
  }
};

TEST_F(BlockReaderTest, GivesTheWholeFileInBlocks) {
  std::string content;
  while (content.size() < 3 * BlockReader::kBlock) content += std::string(777, 'x') + "\n";
  content += "the last line has no end";
  auto reader = BlockReader::Open(Write("f", content));
  ASSERT_TRUE(reader.ok());
  int blocks = 0;
  EXPECT_EQ(ReadAll(*reader, kLines, &blocks), content);
  EXPECT_GE(blocks, 3);
}

TEST_F(BlockReaderTest, KeepsARecordLongerThanABlockWhole) {
  const std::string content = "a,\"" + std::string(3 * BlockReader::kBlock, '\n') + "\"\nb,c\n";
  auto reader = BlockReader::Open(Write("f", content));
  auto block = reader->Next(kQuoted);
  ASSERT_TRUE(block.ok());
  EXPECT_GE(block->size(), content.size() - 4);
}

TEST_F(BlockReaderTest, QuoteThatNeverClosesDoesNotReadEverything) {
  std::string content = "a,\"b\n";
  while (content.size() < BlockReader::kMaxRecord + 5 * BlockReader::kBlock) {
    content += std::string(4095, 'y') + "\n";
  }
  auto reader = BlockReader::Open(Write("f", content));
  auto block = reader->Next(kQuoted);
  ASSERT_TRUE(block.ok());
  EXPECT_TRUE(block->ends_with('\n'));
  EXPECT_LT(block->size(), 2 * BlockReader::kMaxRecord);
}

// A line must be given out when it is there, though the pipe stays open.
TEST_F(BlockReaderTest, DoesNotWaitForMoreThanOneLine) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  auto reader = BlockReader::Open("/dev/fd/" + std::to_string(ends[0]));
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  ASSERT_EQ(write(ends[1], "hel", 3), 3);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(write(ends[1], "lo\n", 3), 3);
  });
  auto block = reader->Next(kLines);
  writer.join();
  ASSERT_TRUE(block.ok());
  EXPECT_EQ(*block, "hello\n");
  EXPECT_FALSE(reader->HasWholeRecords(kLines));
  close(ends[1]);
  EXPECT_TRUE(reader->Next(kLines)->empty());
  close(ends[0]);
}

TEST_F(BlockReaderTest, MissingFileAndFolderAreErrors) {
  auto missing = BlockReader::Open((dir_->path() / "no.csv").string());
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  auto folder = BlockReader::Open(dir_->path().string());
  ASSERT_TRUE(folder.ok());
  auto block = folder->Next(kLines);
  ASSERT_FALSE(block.ok());
  EXPECT_EQ(block.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace bertie::data
