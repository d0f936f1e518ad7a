// Trainers of several ranks, as threads of this process, over real sockets.
#include "train/ranks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "comm/gloo_communicator.h"
#include "comm/socket.h"
#include "expect_error.h"
#include "train/tiny_run.h"
#include "train/trainer.h"

namespace bertie::train {
namespace {

struct Ran {
  std::vector<float> weights;
  std::vector<StepReport> steps;
  std::vector<Metrics> tests;
  Position position;
};

struct Setting {
  TrainerOptions options;
  float dropout = 0;
  int64_t stop_rank = -1;  // tells itself to stop after step 5
  ProblemType problem = ProblemType::kSingleLabel;
};

TrainerOptions TwoEpochs() {
  TrainerOptions options = SmallOptions();
  options.epochs = 2;
  return options;
}

Ran RunRank(comm::Communicator& communicator, const Setting& setting) {
  const model::Golden golden("tiny");
  ThreadPool pool(1);
  auto model = model::TrainableClassifier::Create(
      model::CheckpointFor(setting.problem, TinyCheckpoint(golden, setting.dropout)));
  EXPECT_TRUE(model.ok());
  // Rank 0's weights are the run's.
  if (communicator.rank() != 0) model->parameters().values()[7] += 1;
  const EncodedDataset train = WithTargets(MakeData(197, 1), setting.problem);
  const EncodedDataset test = WithTargets(MakeData(61, 2), setting.problem);
  Ran ran;
  std::atomic<bool> stop = false;
  TrainerHooks hooks;
  hooks.stop = &stop;
  hooks.on_step = [&](const StepReport& report) {
    ran.steps.push_back(report);
    if (report.step == 5 && setting.stop_rank == communicator.rank()) stop = true;
  };
  hooks.on_epoch = [&](const EpochReport& report, model::TrainableClassifier&) {
    ran.tests.push_back(*report.test);
    return Status();
  };
  Trainer trainer(*model, train, &test, setting.options, pool, &communicator);
  auto outcome = trainer.Run(hooks);
  EXPECT_TRUE(outcome.ok()) << outcome.error().message;
  ran.weights = Weights(*model);
  ran.position = trainer.position();
  return ran;
}

std::vector<Ran> RunRanks(int size, const Setting& setting) {
  comm::Socket listener = std::move(*comm::Listen("127.0.0.1", 0));
  std::vector<Ran> all(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      comm::JoinOptions join;
      join.rank = rank;
      join.size = size;
      join.port = comm::LocalPort(listener.fd());
      if (rank == 0) join.listen_fd = dup(listener.fd());
      auto communicator = comm::JoinRanks(join);
      ASSERT_TRUE(communicator.ok()) << communicator.error().message;
      all[static_cast<size_t>(rank)] = RunRank(**communicator, setting);
      EXPECT_TRUE((*communicator)->Barrier().ok());
      (*communicator)->Leave({});
    });
  }
  for (auto& thread : threads) thread.join();
  return all;
}

void ExpectSameRun(const Ran& a, const Ran& b, double tolerance) {
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    EXPECT_NEAR(a.steps[i].loss, b.steps[i].loss, tolerance) << i;
    EXPECT_NEAR(a.steps[i].gradient_norm, b.steps[i].gradient_norm, 50 * tolerance) << i;
    EXPECT_EQ(a.steps[i].sentences, b.steps[i].sentences);
  }
  ASSERT_EQ(a.tests.size(), b.tests.size());
  for (size_t i = 0; i < a.tests.size(); ++i) {
    EXPECT_NEAR(a.tests[i].loss, b.tests[i].loss, tolerance);
    EXPECT_EQ(a.tests[i].examples, b.tests[i].examples);
  }
}

TEST(ShareOf, PartsAreTheBatchAndOfLikeTokens) {
  const std::vector<int32_t> lengths = {9, 9, 8, 8, 5, 4, 4, 3, 3, 2};
  const std::vector<size_t> batch = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (int size : {1, 2, 3, 4, 20}) {
    std::vector<size_t> joined;
    for (int rank = 0; rank < size; ++rank) {
      int tokens = 0;
      for (size_t index : ShareOf(batch, lengths, rank, size)) {
        joined.push_back(index);
        tokens += lengths[index];
      }
      EXPECT_LE(tokens, 55 / size + 9);
      if (size <= 4) {
        EXPECT_GE(tokens, 55 / size - 9);
      }
    }
    EXPECT_EQ(joined, batch) << size;
  }
  EXPECT_TRUE(ShareOf({}, lengths, 0, 2).empty());
}

TEST(Ranks, TakeTheStepsOfOneRank) {
  Setting setting{TwoEpochs()};
  const Ran alone = RunRanks(1, setting).front();
  for (int size : {2, 3}) {
    const auto ranks = RunRanks(size, setting);
    ExpectSameRun(alone, ranks[0], 2e-5);
    for (const Ran& rank : ranks) {
      EXPECT_EQ(rank.weights, ranks[0].weights);
      EXPECT_EQ(rank.steps.back().loss, ranks[0].steps.back().loss);
      EXPECT_EQ(rank.tests.back().confusion, ranks[0].tests.back().confusion);
      EXPECT_EQ(rank.position.loss_sum, ranks[0].position.loss_sum);
    }
  }
}

// With weights of the labels too, whose mean stays the plain one.
TEST(Ranks, SeveralLabelsAndNumbersTakeTheStepsOfOneRank) {
  for (const ProblemType problem : {ProblemType::kMultiLabel, ProblemType::kRegression}) {
    Setting setting{TwoEpochs()};
    setting.problem = problem;
    if (problem == ProblemType::kMultiLabel) setting.options.class_weights = {0.5f, 2, 1};
    const Ran alone = RunRanks(1, setting).front();
    const auto ranks = RunRanks(2, setting);
    ExpectSameRun(alone, ranks[0], 2e-5);
    EXPECT_EQ(ranks[0].weights, ranks[1].weights);
    EXPECT_EQ(ranks[0].tests.back().micro_f1, ranks[1].tests.back().micro_f1);
    EXPECT_EQ(ranks[0].tests.back().spearman, ranks[1].tests.back().spearman);
    EXPECT_EQ(ranks[0].tests.back().problem, problem);
  }
}

TEST(Ranks, TwoRunsGiveTheSameBits) {
  Setting setting{TwoEpochs(), 0.1f};
  EXPECT_EQ(RunRanks(3, setting)[1].weights, RunRanks(3, setting)[1].weights);
}

TEST(Ranks, AccumulatedPassesAndBatchesSmallerThanTheRanks) {
  Setting setting{TwoEpochs()};
  setting.options.batch_size = 2;
  setting.options.gradient_accumulation = 4;
  setting.options.epochs = 1;
  const Ran alone = RunRanks(1, setting).front();
  ExpectSameRun(alone, RunRanks(3, setting)[0], 2e-5);
}

TEST(Ranks, Bfloat16OnTheWireIsCloseAndTheSameEverywhere) {
  Setting setting{TwoEpochs()};
  setting.options.epochs = 1;
  const Ran alone = RunRanks(1, setting).front();
  setting.options.wire = comm::Wire::kBfloat16;
  const auto ranks = RunRanks(2, setting);
  EXPECT_EQ(ranks[0].weights, ranks[1].weights);
  ExpectSameRun(alone, ranks[0], 2e-2);
}

TEST(Ranks, AnyRankStopsAllAtOneStep) {
  Setting setting{TwoEpochs()};
  setting.stop_rank = 1;
  const auto ranks = RunRanks(2, setting);
  EXPECT_EQ(ranks[0].steps.size(), ranks[1].steps.size());
  EXPECT_EQ(ranks[0].steps.size(), 6u);
  EXPECT_EQ(ranks[0].weights, ranks[1].weights);
}

}  // namespace
}  // namespace bertie::train
