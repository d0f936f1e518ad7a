#include "train/run_history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/directory.h"
#include "train/history.h"

namespace bertie::train {
namespace {

class RunHistoryTest : public ::testing::Test {
 protected:
  RunHistoryTest() : dir_(TemporaryDirectory::Create().value()) {}

  std::filesystem::path path() const { return dir_.path() / "history.jsonl"; }

  void Append(const HistoryEvent& event) {
    auto history = History::Open(path(), History::Mode::kContinue);
    ASSERT_TRUE(history.ok());
    ASSERT_TRUE(history->Append(event).ok());
  }

  void Step(int64_t epoch, int64_t step, double loss) {
    HistoryEvent event("step");
    event.Set("epoch", epoch).Set("step", step).Set("loss", loss).Set("lr", 0.5);
    Append(event.Set("grad_norm", 2.0).Set("sentences_per_s", 10.0));
  }

  void Epoch(int64_t epoch, int64_t step) {
    Metrics metrics;
    metrics.accuracy = 0.75;
    metrics.binary_f1 = 0.5;
    HistoryEvent event("epoch");
    event.Set("epoch", epoch).Set("step", step).Set("train_loss", 0.25);
    Append(event.Set("seconds", 4.0).Set("sentences_per_s", 8.0).SetMetrics("test_", metrics));
  }

  TemporaryDirectory dir_;
};

TEST_F(RunHistoryTest, TheLastRunAsATable) {
  Append(HistoryEvent("start"));
  Step(1, 1, 9);
  Append(HistoryEvent("start"));
  Step(1, 1, 0.5);
  Epoch(1, 1);
  Step(2, 2, std::numeric_limits<double>::infinity());
  const auto history = ReadRunHistory(path());
  ASSERT_TRUE(history.ok()) << history.error().message;
  ASSERT_EQ(history->steps.size(), 2u);
  EXPECT_EQ(history->steps[0].loss, 0.5);
  EXPECT_TRUE(std::isnan(history->steps[1].loss));
  ASSERT_EQ(history->epochs.size(), 1u);
  EXPECT_EQ(history->epochs[0].test->accuracy, 0.75);
  EXPECT_EQ(ToCsv(*history),
            "event,epoch,step,loss,lr,grad_norm,sentences_per_s,seconds,test_loss,test_accuracy,"
            "test_f1,test_macro_f1,test_mcc\n"
            "step,1,1,0.5,0.5,2,10,,,,,,\n"
            "epoch,1,1,0.25,,,8,4,0,0.75,0.5,0,0\n"
            "step,2,2,,0.5,2,10,,,,,,\n");
}

TEST_F(RunHistoryTest, AResumedRunTakesBackWhatIsDoneAgain) {
  Append(HistoryEvent("start"));
  for (int64_t step = 1; step <= 4; ++step) Step(1, step, 1);
  HistoryEvent resume("resume");
  Append(resume.Set("step", 2));
  Step(1, 3, 2);
  const auto history = ReadRunHistory(path());
  ASSERT_TRUE(history.ok());
  ASSERT_EQ(history->steps.size(), 3u);
  EXPECT_EQ(history->steps[2].step, 3);
  EXPECT_EQ(history->steps[2].loss, 2);
}

TEST_F(RunHistoryTest, HalfALineAndStrangeLinesArePassedOver) {
  Step(1, 1, 1);
  std::ofstream(path(), std::ios::app) << "[]\n\n{\"event\":7}\n{\"event\":\"other\"}\n{\"event\":";
  const auto history = ReadRunHistory(path());
  ASSERT_TRUE(history.ok());
  EXPECT_EQ(history->steps.size(), 1u);
}

TEST_F(RunHistoryTest, NoFile) { EXPECT_FALSE(ReadRunHistory(path()).ok()); }

}  // namespace
}  // namespace bertie::train
