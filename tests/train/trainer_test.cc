#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "formats/json.h"
#include "kernels/onednn_matmul.h"
#include "train/tiny_run.h"

namespace bertie::train {
namespace {

using model::Golden;

struct RanAlone {
  std::vector<float> weights;
  std::vector<EpochReport> epochs;
  std::vector<StepReport> steps;
};

RanAlone RunOnce(const TrainerOptions& options, int threads, float dropout = 0.1f) {
  const Golden golden("tiny");
  ThreadPool pool(threads);
  auto model = model::TrainableClassifier::Create(TinyCheckpoint(golden, dropout));
  EXPECT_TRUE(model.ok());
  const EncodedDataset train = MakeData(200, 1);
  const EncodedDataset test = MakeData(60, 2);
  RanAlone ran;
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
  const RanAlone ran = RunOnce(options, 2, 0);
  ASSERT_EQ(ran.epochs.size(), 12u);
  ASSERT_EQ(ran.steps.size(), 12u * 13u);
  EXPECT_EQ(ran.steps.back().total_steps, 12 * 13);
  EXPECT_EQ(ran.steps[12].sentences, 200);
  EXPECT_LT(ran.epochs.back().train_loss, 0.5 * ran.epochs.front().train_loss);
  ASSERT_TRUE(ran.epochs.back().test.has_value());
  EXPECT_GT(ran.epochs.back().test->accuracy, 0.9);
  EXPECT_EQ(ran.epochs.back().test->examples, 60);
}

// The sentences of the ten batches of tiny/, with their labels.
EncodedDataset TenSteps(const Golden& golden) {
  EncodedDataset data;
  for (int step = 0; step < 10; ++step) {
    const std::string prefix = "step." + std::to_string(step) + ".";
    const model::PackedBatch batch = golden.Batch(prefix);
    const auto labels = golden.Ints(prefix + "labels");
    for (size_t i = 0; i < labels.size(); ++i) {
      const auto begin = batch.cumulative_seq_lengths[i], end = batch.cumulative_seq_lengths[i + 1];
      text::Encoding encoding;
      encoding.ids.assign(batch.token_ids.begin() + begin, batch.token_ids.begin() + end);
      encoding.type_ids.assign(batch.type_ids.begin() + begin, batch.type_ids.begin() + end);
      data.encodings.push_back(std::move(encoding));
      data.targets.labels.push_back(labels[i]);
    }
  }
  return data;
}

// The recipe of tests/golden; with two passes to a step the mean is still that of the whole step.
TrainerOptions TenStepOptions(int64_t passes) {
  TrainerOptions options;
  options.epochs = 1;
  options.batch_size = 4 / passes;
  options.gradient_accumulation = passes;
  options.learning_rate = 1e-3;
  options.warmup_ratio = 0.2;
  options.order = data::Order::kSequential;
  return options;
}

// tests/golden/class_weights.json: PyTorch's CrossEntropyLoss(weight) on the ten batches of tiny/.
TEST(Trainer, ClassWeightsGiveThePyTorchLossesNormsAndWeights) {
  const auto reference = formats::ReadJsonFile(model::GoldenDir() / "class_weights.json");
  ASSERT_TRUE(reference.ok()) << reference.error().message;
  const Golden golden("tiny");
  const EncodedDataset data = TenSteps(golden);
  for (const int64_t passes : {1, 2}) {
    TrainerOptions options = TenStepOptions(passes);
    options.class_weights = reference->at("weights").get<std::vector<float>>();
    ThreadPool pool(2);
    auto model = model::TrainableClassifier::Create(golden.LoadModel());
    ASSERT_TRUE(model.ok()) << model.error().message;
    std::vector<StepReport> steps;
    TrainerHooks hooks;
    hooks.on_step = [&](const StepReport& report) { steps.push_back(report); };
    const auto outcome = Train(*model, data, nullptr, options, hooks, pool);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    ASSERT_EQ(steps.size(), 10u);
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_NEAR(steps[i].loss, reference->at("losses")[i].get<double>(), 1e-3) << i;
      const double norm = reference->at("grad_norms")[i].get<double>();
      EXPECT_NEAR(steps[i].gradient_norm, norm, 1e-3 * norm) << i;
    }
    for (const auto& slot : model->parameters().slots()) {
      if (!slot.name.starts_with("classifier.")) continue;
      const auto expected =
          reference->at("final").at(slot.name.substr(11)).get<std::vector<float>>();
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(model->parameters().values()[slot.offset + static_cast<int64_t>(i)],
                    expected[i], 1e-3f)
            << slot.name << " " << i;
      }
    }
  }
}

// tests/golden/targets.safetensors: BertForSequenceClassification's own losses, and with weights
// PyTorch's BCEWithLogitsLoss(pos_weight).
class TrainerTargets : public testing::TestWithParam<const char*> {};

TEST_P(TrainerTargets, GiveTheLossesNormsAndWeightsOfTransformers) {
  const std::string kind = GetParam();
  const Golden golden("tiny");
  const model::GoldenTargets reference;
  EncodedDataset data = TenSteps(golden);
  data.targets = {
      kind == "regression" ? ProblemType::kRegression : ProblemType::kMultiLabel, {}, {}};
  for (int step = 0; step < 10; ++step) {
    const auto part = reference.Floats(kind + ".targets." + std::to_string(step));
    data.targets.values.insert(data.targets.values.end(), part.begin(), part.end());
  }
  const auto losses = reference.Floats(kind + ".losses");
  const auto norms = reference.Floats(kind + ".grad_norms");
  for (const int64_t passes : {1, 2}) {
    TrainerOptions options = TenStepOptions(passes);
    if (kind == "weighted_multi_label")
      options.class_weights = reference.Floats("positive_weights");
    ThreadPool pool(2);
    auto model = model::TrainableClassifier::Create(
        model::CheckpointFor(data.targets.problem, golden.LoadModel()));
    ASSERT_TRUE(model.ok()) << model.error().message;
    std::vector<StepReport> steps;
    TrainerHooks hooks;
    hooks.on_step = [&](const StepReport& report) { steps.push_back(report); };
    const auto outcome = Train(*model, data, nullptr, options, hooks, pool);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    ASSERT_EQ(steps.size(), 10u);
    for (size_t i = 0; i < steps.size(); ++i) {
      EXPECT_NEAR(steps[i].loss, losses[i], 1e-3) << i;
      EXPECT_NEAR(steps[i].gradient_norm, norms[i], 1e-3 * static_cast<double>(norms[i])) << i;
    }
    for (const auto& slot : model->parameters().slots()) {
      if (!slot.name.starts_with("classifier.")) continue;
      const auto expected = reference.Floats(kind + ".final." + slot.name);
      ASSERT_EQ(expected.size(), static_cast<size_t>(slot.count));
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(model->parameters().values()[slot.offset + static_cast<int64_t>(i)],
                    expected[i], 1e-3f)
            << slot.name << " " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, TrainerTargets,
                         testing::Values("multi_label", "weighted_multi_label", "regression"));

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
  const RanAlone a = RunOnce(whole, 2, 0);
  const RanAlone b = RunOnce(halves, 2, 0);
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

// Kept outputs of frozen layers, some or all of them, change no bit.
TEST(Trainer, FrozenOutputsMayBeKeptOrNot) {
  auto run = [](int64_t bytes) {
    const Golden golden("tiny");
    model::TuningOptions tuning;
    tuning.freeze_layers = 1;
    ThreadPool pool(2);
    auto model = model::TrainableClassifier::Create(golden.LoadModel(), tuning);
    EXPECT_TRUE(model.ok());
    const EncodedDataset train = MakeData(90, 1);
    TrainerOptions options;
    options.epochs = 3;
    options.batch_size = 16;
    options.frozen_output_bytes = bytes;
    const std::vector<float> before = Weights(*model);
    EXPECT_TRUE(Train(*model, train, nullptr, options, {}, pool).ok());
    const std::vector<float> after = Weights(*model);
    const auto frozen = static_cast<ptrdiff_t>(model->parameters().frozen_size());
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + frozen, after.begin()));
    EXPECT_FALSE(std::equal(before.begin() + frozen, before.end(), after.begin() + frozen));
    return after;
  };
  const auto kept = run(1 << 30);
  if (kernels::UseOneDnn()) GTEST_SKIP() << "oneDNN's bits depend on the batch";
  EXPECT_EQ(kept, run(0));
  EXPECT_EQ(kept, run(20000)) << "some fit";
}

TEST(Trainer, TokenBudgetCountsTheStepsOfEveryEpoch) {
  TrainerOptions options;
  options.epochs = 4;
  options.batch_tokens = 60;
  options.order = data::Order::kShuffled;
  const RanAlone ran = RunOnce(options, 2);
  ASSERT_EQ(ran.epochs.size(), 4u);
  EXPECT_EQ(ran.epochs.back().steps, static_cast<int64_t>(ran.steps.size()));
  EXPECT_EQ(ran.steps.front().total_steps, static_cast<int64_t>(ran.steps.size()));
}

}  // namespace
}  // namespace bertie::train
