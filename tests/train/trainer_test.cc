#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/onednn_matmul.h"
#include "train/tiny_run.h"

namespace bertie::train {
namespace {

using model::Golden;

struct Ran {
  std::vector<float> weights;
  std::vector<EpochReport> epochs;
  std::vector<StepReport> steps;
};

Ran RunOnce(const TrainerOptions& options, int threads, float dropout = 0.1f) {
  const Golden golden("tiny");
  ThreadPool pool(threads);
  auto model = model::TrainableClassifier::Create(TinyCheckpoint(golden, dropout));
  EXPECT_TRUE(model.ok());
  const EncodedDataset train = MakeData(200, 1);
  const EncodedDataset test = MakeData(60, 2);
  Ran ran;
  TrainerHooks hooks;
  hooks.on_step = [&](const StepReport& report) { ran.steps.push_back(report); };
  hooks.on_epoch = [&](const EpochReport& report, model::TrainableClassifier&) {
    ran.epochs.push_back(report);
    return Status();
  };
  auto outcome = Train(*model, train, &test, options, hooks, pool);
  EXPECT_TRUE(outcome.ok()) << outcome.error().message;
  ran.weights = Weights(*model);
  return ran;
}

TEST(Trainer, LearnsAndReportsEachEpochAndStep) {
  TrainerOptions options = SmallOptions();
  options.epochs = 12;
  const Ran ran = RunOnce(options, 2, 0);
  ASSERT_EQ(ran.epochs.size(), 12u);
  ASSERT_EQ(ran.steps.size(), 12u * 13u);
  EXPECT_EQ(ran.steps.back().total_steps, 12 * 13);
  EXPECT_EQ(ran.steps[12].sentences, 200);
  EXPECT_LT(ran.epochs.back().train_loss, 0.5 * ran.epochs.front().train_loss);
  ASSERT_TRUE(ran.epochs.back().test.has_value());
  EXPECT_GT(ran.epochs.back().test->accuracy, 0.9);
  EXPECT_EQ(ran.epochs.back().test->examples, 60);
}

TEST(Trainer, SameSeedGivesTheSameWeights) {
  const auto weights = RunOnce(SmallOptions(), 1).weights;
  EXPECT_EQ(weights, RunOnce(SmallOptions(), 1).weights);
  const auto two = RunOnce(SmallOptions(), 2).weights;
  EXPECT_EQ(two, RunOnce(SmallOptions(), 2).weights);
  // oneDNN's order of sums may depend on how a product is shared out; ours does not.
  if (!kernels::UseOneDnn()) {
    EXPECT_EQ(weights, two);
  }
  TrainerOptions other = SmallOptions();
  other.seed = 2;
  EXPECT_NE(weights, RunOnce(other, 1).weights);
}

// Two passes of eight are one of sixteen, but for the order of the sums.
TEST(Trainer, AccumulatedPassesAreOneBatch) {
  TrainerOptions whole = SmallOptions();
  whole.epochs = 1;
  whole.order = data::Order::kSequential;
  TrainerOptions halves = whole;
  halves.batch_size = 8;
  halves.gradient_accumulation = 2;
  const Ran a = RunOnce(whole, 2, 0);
  const Ran b = RunOnce(halves, 2, 0);
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    EXPECT_NEAR(a.steps[i].loss, b.steps[i].loss, 1e-3) << i;
  }
}

TEST(Trainer, StopEndsBetweenTwoSteps) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  auto model = model::TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok());
  const EncodedDataset train = MakeData(100, 1);
  std::atomic<bool> stop = false;
  int saved = 0;
  std::vector<Boundary> boundaries;
  Position at_stop;
  TrainerHooks hooks;
  hooks.stop = &stop;
  hooks.on_step = [&](const StepReport& report) { stop = report.step == 9; };
  hooks.on_epoch = [&](const EpochReport&, model::TrainableClassifier&) {
    ++saved;
    return Status();
  };
  hooks.on_boundary = [&](const TrainingState& state, Boundary boundary) {
    boundaries.push_back(boundary);
    at_stop = state.position;
    return Status();
  };
  auto outcome = Train(*model, train, nullptr, SmallOptions(), hooks, pool);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->interrupted);
  EXPECT_EQ(outcome->epochs, 1);
  EXPECT_EQ(saved, 1);
  // 7 steps an epoch: the last step of an epoch is shown as the epoch.
  ASSERT_EQ(boundaries.size(), 10u);
  EXPECT_EQ(boundaries[5], Boundary::kStep);
  EXPECT_EQ(boundaries[6], Boundary::kEpoch);
  EXPECT_EQ(boundaries[9], Boundary::kStop);
  EXPECT_EQ(at_stop.epoch, 2);
  EXPECT_EQ(at_stop.epoch_step, 2);
  EXPECT_EQ(at_stop.step, 9);
}

TEST(Trainer, DivergenceIsAnErrorThatNamesTheStep) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  auto model = model::TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok());
  model->parameters().values()[model->parameters().offset("classifier.bias")] =
      std::numeric_limits<float>::infinity();
  auto outcome = Train(*model, MakeData(20, 1), nullptr, SmallOptions(), {}, pool);
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message.find("step 1"), std::string::npos);
  EXPECT_NE(outcome.error().message.find("--lr"), std::string::npos);
  EXPECT_NE(outcome.error().message.find("'classifier.bias'"), std::string::npos);
}

TEST(Trainer, AnErrorOfTheEpochHookEndsTheRun) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  auto model = model::TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok());
  TrainerHooks hooks;
  hooks.on_epoch = [](const EpochReport&, model::TrainableClassifier&) -> Status {
    return Error{ErrorCode::kIo, "disk full"};
  };
  auto outcome = Train(*model, MakeData(20, 1), nullptr, SmallOptions(), hooks, pool);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().message, "disk full");
}

}  // namespace
}  // namespace bertie::train
