// Runs that stop and go on: their weights and reports are those of a run in one go, bit for bit.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/directory.h"
#include "expect_error.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"
#include "train/checkpoint_store.h"
#include "train/tiny_run.h"

namespace bertie::train {
namespace {

namespace fs = std::filesystem;
using model::Golden;

// Reports without what a clock says.
struct Log {
  std::vector<std::tuple<int64_t, int64_t, int64_t, double, double>> steps;
  std::vector<std::tuple<int64_t, int64_t, double, double, bool>> epochs;

  TrainerHooks Hooks() {
    TrainerHooks hooks;
    hooks.on_step = [this](const StepReport& r) {
      steps.emplace_back(r.epoch, r.step, r.sentences, r.loss, r.learning_rate);
    };
    hooks.on_epoch = [this](const EpochReport& r, model::TrainableClassifier&) {
      epochs.emplace_back(r.epoch, r.steps, r.train_loss, r.test ? r.test->loss : 0, r.best);
      return Status();
    };
    return hooks;
  }
};

// A place for checkpoints, with all that a run of the tiny model needs.
class ResumeTest : public testing::Test {
 protected:
  ResumeTest()
      : golden_("tiny"),
        folder_(*TemporaryDirectory::Create()),
        tokenizer_(*text::Tokenizer::Load(model::GoldenDir() / "tiny")),
        train_(MakeData(39, 1)),
        test_(MakeData(20, 2)),
        pool_(1) {
    options_.epochs = 2;
    options_.batch_size = 8;
    options_.learning_rate = 2e-3;
  }

  model::TrainableClassifier FreshModel() {
    return *model::TrainableClassifier::Create(TinyCheckpoint(golden_));
  }

  fs::path store_path() const { return folder_.path() / "checkpoints"; }
  RunIdentity Identity() const { return {DescribeOptions(options_), {{"threads", "1"}}}; }

  // Writes a checkpoint at every boundary; returns the run's last weights.
  std::vector<float> RunWithCheckpoints(Log& log, int64_t keep = 1000) {
    auto store = CheckpointStore::Open(store_path());
    EXPECT_TRUE(store.ok()) << store.error().message;
    auto model = FreshModel();
    TrainerHooks hooks = log.Hooks();
    hooks.on_boundary = [&](const TrainingState& state, Boundary) -> Status {
      auto saved = store->Save(state, Identity(), tokenizer_, keep);
      return saved.ok() ? Status() : saved.error();
    };
    auto outcome = Trainer(model, train_, &test_, options_, pool_).Run(hooks);
    EXPECT_TRUE(outcome.ok()) << outcome.error().message;
    return Weights(model);
  }

  // Goes on from a checkpoint on the disk, as another process would.
  std::vector<float> Continue(const fs::path& dir, Log& log) {
    const auto state = ReadCheckpointState(dir);
    EXPECT_TRUE(state.ok()) << state.error().message;
    auto saved = model::LoadCheckpoint(dir);
    EXPECT_TRUE(saved.ok()) << saved.error().message;
    auto model = *model::TrainableClassifier::Create(*saved);
    Trainer trainer(model, train_, &test_, options_, pool_);
    EXPECT_TRUE(ReadOptimizer(dir, *state, trainer.optimizer(), model.parameters()).ok());
    EXPECT_TRUE(trainer.ContinueFrom(state->position).ok());
    auto outcome = trainer.Run(log.Hooks());
    EXPECT_TRUE(outcome.ok()) << outcome.error().message;
    EXPECT_FALSE(outcome->interrupted);
    return Weights(model);
  }

  // The steps and epochs of `part` are the last ones of `whole`.
  static void ExpectIsTail(const Log& part, const Log& whole, const Position& from) {
    const auto step = static_cast<ptrdiff_t>(from.step);
    const auto epoch = static_cast<ptrdiff_t>(from.epoch - 1);
    EXPECT_EQ(part.steps, decltype(part.steps)(whole.steps.begin() + step, whole.steps.end()));
    EXPECT_EQ(part.epochs, decltype(part.epochs)(whole.epochs.begin() + epoch, whole.epochs.end()));
  }

  void ExpectEveryCheckpointContinues() {
    Log whole;
    const auto weights = RunWithCheckpoints(whole);
    const auto checkpoints = CheckpointStore::List(store_path());
    ASSERT_EQ(checkpoints.size(), whole.steps.size());
    for (const auto& entry : checkpoints) {
      SCOPED_TRACE(entry.dir);
      EXPECT_TRUE(VerifyCheckpoint(entry.dir).ok());
      Log rest;
      EXPECT_EQ(Continue(entry.dir, rest), weights);
      ExpectIsTail(rest, whole, ReadCheckpointState(entry.dir)->position);
    }
  }

  Golden golden_;
  TemporaryDirectory folder_;
  text::Tokenizer tokenizer_;
  EncodedDataset train_;
  EncodedDataset test_;
  ThreadPool pool_;
  TrainerOptions options_;
};

TEST_F(ResumeTest, EveryStepLengthGrouped) { ExpectEveryCheckpointContinues(); }

TEST_F(ResumeTest, EveryStepShuffled) {
  options_.order = data::Order::kShuffled;
  options_.schedule = Schedule::kCosine;
  ExpectEveryCheckpointContinues();
}

TEST_F(ResumeTest, EveryStepWithAccumulation) {
  options_.batch_size = 4;
  options_.gradient_accumulation = 3;  // the last step of an epoch has one pass
  options_.weight_decay = 0.1;
  ExpectEveryCheckpointContinues();
}

TEST_F(ResumeTest, EveryStepWithBestAndEarlyStopping) {
  options_.epochs = 5;
  options_.batch_size = 20;
  options_.selection = {SelectBy::kAccuracy, 2, 0.4};  // no gain is as large: stops early
  Log whole;
  const auto weights = RunWithCheckpoints(whole);
  EXPECT_EQ(whole.epochs.size(), 3u);
  for (const auto& entry : CheckpointStore::List(store_path())) {
    Log rest;
    EXPECT_EQ(Continue(entry.dir, rest), weights) << entry.dir;
    ExpectIsTail(rest, whole, ReadCheckpointState(entry.dir)->position);
  }
}

// Stopped by a flag after each step in turn, even at an epoch's end before its test.
TEST_F(ResumeTest, StoppedAnywhere) {
  Log whole;
  const auto weights = RunWithCheckpoints(whole);
  for (int64_t stop_at = 0; stop_at < 10; ++stop_at) {
    SCOPED_TRACE(stop_at);
    const fs::path path = folder_.path() / std::to_string(stop_at);
    auto store = CheckpointStore::Open(path);
    ASSERT_TRUE(store.ok());
    std::atomic<bool> stop = stop_at == 0;
    Log log;
    TrainerHooks hooks = log.Hooks();
    hooks.stop = &stop;
    auto on_step = hooks.on_step;
    hooks.on_step = [&](const StepReport& report) {
      on_step(report);
      stop = report.step == stop_at;
    };
    hooks.on_boundary = [&](const TrainingState& state, Boundary boundary) -> Status {
      if (boundary == Boundary::kStop)
        return store->Save(state, Identity(), tokenizer_, 2).ok()
                   ? Status()
                   : Error{ErrorCode::kIo, "not saved"};
      return {};
    };
    auto model = FreshModel();
    auto outcome = Trainer(model, train_, &test_, options_, pool_).Run(hooks);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    EXPECT_TRUE(outcome->interrupted);
    const auto saved = CheckpointStore::List(path);
    ASSERT_EQ(saved.size(), 1u);
    EXPECT_EQ(saved[0].step, stop_at);
    EXPECT_EQ(Continue(saved[0].dir, log), weights);
    EXPECT_EQ(log.steps, whole.steps);
    EXPECT_EQ(log.epochs, whole.epochs);
  }
}

TEST_F(ResumeTest, KeepsTheNewestFew) {
  Log log;
  RunWithCheckpoints(log, 2);
  const auto left = CheckpointStore::List(store_path());
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].step, 10);
  EXPECT_EQ(left[1].step, 9);
  EXPECT_EQ(left[0].dir.filename(), "step-000000010");
  for (const auto& entry : fs::directory_iterator(store_path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with('.')) << entry.path();
  }
}

void FlipAByte(const fs::path& file, std::streamoff at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const char byte = static_cast<char>(stream.get() ^ 1);
  stream.seekp(at);
  stream.put(byte);
}

TEST_F(ResumeTest, ADamagedCheckpointIsNamedAndTheOneBeforeItTaken) {
  Log log;
  RunWithCheckpoints(log);
  const auto all = CheckpointStore::List(store_path());
  ASSERT_EQ(all.size(), 10u);
  FlipAByte(all[0].dir / "optimizer.safetensors", 5000);
  fs::resize_file(all[1].dir / "model.safetensors", 1000);
  fs::remove(all[2].dir / "vocab.txt");
  FlipAByte(all[3].dir / "state.json", 30);
  std::ofstream(all[4].dir / "manifest.json") << "{}";
  fs::remove(all[5].dir / "manifest.json");
  std::vector<std::string> named;
  const auto found = CheckpointStore::FindNewest(
      store_path(), [&](const Error& error) { named.push_back(error.message); });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, all[6].step);
  ASSERT_EQ(named.size(), 6u);
  EXPECT_NE(named[0].find("optimizer.safetensors: SHA-256"), std::string::npos) << named[0];
  EXPECT_NE(named[1].find("is 1000 bytes long"), std::string::npos) << named[1];
  EXPECT_NE(named[2].find("vocab.txt"), std::string::npos) << named[2];
  EXPECT_NE(named[3].find("state.json"), std::string::npos) << named[3];
  EXPECT_NE(named[4].find("manifest.json"), std::string::npos) << named[4];
}

TEST_F(ResumeTest, OneWriterAtATime) {
  auto first = CheckpointStore::Open(store_path());
  ASSERT_TRUE(first.ok());
  EXPECT_ERROR(CheckpointStore::Open(store_path()), ErrorCode::kUnavailable, "another run");
}

TEST_F(ResumeTest, APositionOfAnotherRunIsRefused) {
  auto model = FreshModel();
  Trainer trainer(model, train_, nullptr, options_, pool_);
  Position position;
  position.epoch = 2;
  position.epoch_step = 1;
  position.step = 7;  // an epoch has 5
  EXPECT_ERROR(trainer.ContinueFrom(position), ErrorCode::kInvalidData, "step 7");
  position.step = 6;
  EXPECT_TRUE(trainer.ContinueFrom(position).ok());
}

TEST(CheckpointSchedule, ByEpochsStepsAndMinutes) {
  CheckpointSchedule by_steps(5, 0);
  Position position;
  for (position.step = 1; position.step <= 20; ++position.step) {
    EXPECT_EQ(by_steps.IsDue(Boundary::kStep, position), position.step % 5 == 0) << position.step;
    EXPECT_TRUE(by_steps.IsDue(Boundary::kEpoch, position));
    EXPECT_TRUE(by_steps.IsDue(Boundary::kStop, position));
  }
  CheckpointSchedule by_time(0, 0.2 / 60);
  EXPECT_FALSE(by_time.IsDue(Boundary::kStep, position));
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  EXPECT_TRUE(by_time.IsDue(Boundary::kStep, position));
  by_time.Written();
  EXPECT_FALSE(by_time.IsDue(Boundary::kStep, position));
}

TEST(Recipe, DifferencesAreNamed) {
  TrainerOptions options;
  const Recipe expected = DescribeOptions(options);
  options.epochs = 7;
  options.learning_rate = 1e-3;
  Recipe found = DescribeOptions(options);
  found["more"] = "x";
  const auto differences = CompareRecipes(found, expected);
  EXPECT_EQ(differences,
            (std::vector<std::string>{"epochs is 7, expected 3", "lr is 0.001, expected 5e-05",
                                      "more is x, expected absent"}));
  EXPECT_NE(HashRecipe(found), HashRecipe(expected));
  EXPECT_EQ(*RecipeFromJson(RecipeToJson(found), "here"), found);
}

TEST(Recipe, DataAreKnownByEverySentenceAndLabel) {
  EncodedDataset data = MakeData(20, 1);
  const std::string hash = HashDataset(data);
  EXPECT_EQ(HashDataset(MakeData(20, 1)), hash);
  data.targets.labels[7] ^= 1;
  EXPECT_NE(HashDataset(data), hash);
  data.targets.labels[7] ^= 1;
  data.encodings[3].ids[1] ^= 1;
  EXPECT_NE(HashDataset(data), hash);
}

}  // namespace
}  // namespace bertie::train
