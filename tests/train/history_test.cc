#include "train/history.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/directory.h"
#include "base/file.h"

namespace bertie::train {
namespace {

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = TemporaryDirectory::Create();
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    dir_.emplace(std::move(*dir));
    path_ = dir_->path() / "history.jsonl";
  }
  std::string Content() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::optional<TemporaryDirectory> dir_;
  std::filesystem::path path_;
};

TEST_F(HistoryTest, LinesAreInOrderAndThereAtOnce) {
  auto history = History::Open(path_, History::Mode::kReplace);
  ASSERT_TRUE(history.ok()) << history.error().message;
  ASSERT_TRUE(
      history->Append(HistoryEvent("step").Set("step", 50).Set("loss", 0.1).Set("lr", 2e-5)).ok());
  EXPECT_EQ(Content(), "{\"event\":\"step\",\"step\":50,\"loss\":0.1,\"lr\":2e-05}\n");
  ASSERT_TRUE(history->Append(HistoryEvent("end").Set("interrupted", true)).ok());
  EXPECT_EQ(Content(),
            "{\"event\":\"step\",\"step\":50,\"loss\":0.1,\"lr\":2e-05}\n"
            "{\"event\":\"end\",\"interrupted\":true}\n");
}

TEST_F(HistoryTest, NumbersReadBackAsTheyWere) {
  for (double value : {1.0 / 3.0, 1e300, -0.0, 5e-324, 123456789.125, 1.0}) {
    const std::string json = HistoryEvent("x").Set("v", value).ToJson();
    EXPECT_EQ(nlohmann::json::parse(json).at("v").get<double>(), value) << json;
  }
  EXPECT_EQ(HistoryEvent("x").Set("v", int64_t{9007199254740993}).ToJson(),
            "{\"event\":\"x\",\"v\":9007199254740993}");
}

TEST_F(HistoryTest, NumbersThatAreNotFiniteBecomeNull) {
  EXPECT_EQ(HistoryEvent("x")
                .Set("a", std::nan(""))
                .Set("b", std::numeric_limits<double>::infinity())
                .ToJson(),
            "{\"event\":\"x\",\"a\":null,\"b\":null}");
}

TEST_F(HistoryTest, TextIsEscaped) {
  EXPECT_EQ(HistoryEvent("x").Set("model", "a\"b\\c\nd").ToJson(),
            "{\"event\":\"x\",\"model\":\"a\\\"b\\\\c\\nd\"}");
}

TEST_F(HistoryTest, MetricsAreWrittenByName) {
  Metrics metrics;
  metrics.examples = 527;
  metrics.accuracy = 0.75;
  metrics.binary_f1 = 0.5;
  const auto json =
      nlohmann::json::parse(HistoryEvent("epoch").SetMetrics("test_", metrics).ToJson());
  EXPECT_EQ(json.at("test_accuracy"), 0.75);
  EXPECT_EQ(json.at("test_f1"), 0.5);
  EXPECT_EQ(json.at("test_examples"), 527);
  metrics.binary_f1.reset();
  EXPECT_FALSE(nlohmann::json::parse(HistoryEvent("epoch").SetMetrics("test_", metrics).ToJson())
                   .contains("test_f1"));
}

TEST_F(HistoryTest, ReplaceDropsTheOldRun) {
  std::ofstream(path_) << "{\"event\":\"old\"}\n";
  auto history = History::Open(path_, History::Mode::kReplace);
  ASSERT_TRUE(history->Append(HistoryEvent("new")).ok());
  EXPECT_EQ(Content(), "{\"event\":\"new\"}\n");
}

TEST_F(HistoryTest, ContinueCutsOffHalfALine) {
  for (size_t tail : {0u, 5u, 4096u, 10000u}) {
    std::ofstream(path_) << "{\"event\":\"old\"}\n" << std::string(tail, 'x');
    auto history = History::Open(path_, History::Mode::kContinue);
    ASSERT_TRUE(history.ok());
    ASSERT_TRUE(history->Append(HistoryEvent("new")).ok());
    EXPECT_EQ(Content(), "{\"event\":\"old\"}\n{\"event\":\"new\"}\n") << tail;
  }
}

TEST_F(HistoryTest, ContinueOfNothingStartsAfresh) {
  std::ofstream(path_) << "half a line";
  auto history = History::Open(path_, History::Mode::kContinue);
  ASSERT_TRUE(history->Append(HistoryEvent("new")).ok());
  EXPECT_EQ(Content(), "{\"event\":\"new\"}\n");
}

TEST_F(HistoryTest, MissingFolderIsAnErrorWithThePath) {
  auto history = History::Open(dir_->path() / "no" / "history.jsonl", History::Mode::kReplace);
  ASSERT_FALSE(history.ok());
  EXPECT_NE(history.error().message.find("no/history.jsonl"), std::string::npos);
  EXPECT_NE(history.error().message.find("No such file"), std::string::npos);
}

TEST_F(HistoryTest, FullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  auto history = History::Open("/dev/full", History::Mode::kReplace);
  ASSERT_TRUE(history.ok()) << history.error().message;
  auto status = history->Append(HistoryEvent("x"));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_NE(status.error().message.find("No space left"), std::string::npos);
}

// A limit on the file's size stands for a disk that fills up in the middle of a line.
TEST_F(HistoryTest, FailedLineIsTakenBack) {
  auto history = History::Open(path_, History::Mode::kReplace);
  ASSERT_TRUE(history->Append(HistoryEvent("first")).ok());
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{30, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  auto status = history->Append(HistoryEvent("second").Set("text", std::string(100, 'x')));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("File too large"), std::string::npos);
  EXPECT_EQ(Content(), "{\"event\":\"first\"}\n");
  ASSERT_TRUE(history->Append(HistoryEvent("third")).ok());
  EXPECT_EQ(Content(), "{\"event\":\"first\"}\n{\"event\":\"third\"}\n");
}

TEST(RewindHistory, TakesOutWhatTheLastRunWroteAfterThePosition) {
  auto folder = TemporaryDirectory::Create();
  ASSERT_TRUE(folder.ok());
  const auto path = folder->path() / "history.jsonl";
  const std::string before =
      "{\"event\":\"start\"}\n{\"event\":\"step\",\"epoch\":9,\"step\":900}\n"
      "{\"event\":\"start\"}\nnot json\n{\"event\":\"step\",\"epoch\":1,\"step\":5}\n";
  const std::string epoch = "{\"event\":\"epoch\",\"epoch\":1,\"step\":10}\n";
  const std::string after =
      "{\"event\":\"step\",\"epoch\":2,\"step\":15}\n{\"event\":\"step\",\"epo";
  ASSERT_TRUE(WriteFileAtomically(path, before + epoch + after).ok());
  Position position;
  position.epoch = 2;
  position.step = 10;
  ASSERT_TRUE(RewindHistory(path, position).ok());
  EXPECT_EQ(*ReadFile(path, 10000), before + epoch);
  position.epoch = 1;  // the epoch's last step is done, its test not
  ASSERT_TRUE(RewindHistory(path, position).ok());
  EXPECT_EQ(*ReadFile(path, 10000), before);
  EXPECT_TRUE(RewindHistory(folder->path() / "none", position).ok());
}

}  // namespace
}  // namespace bertie::train
