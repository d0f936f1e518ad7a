#include "accelerator/scheduler.h"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "accelerator/accelerator.h"
#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"

namespace bertie::accelerator {
namespace {

namespace fs = std::filesystem;

const fs::path kTiny = fs::path(BERTIE_TESTS_DIR) / "golden" / "tiny";

// The tiny model of tests/golden, a second time where another is asked for.
ModelPtr OpenTiny(int which = 0) {
  static std::map<int, ModelPtr> models;
  ModelPtr& model = models[which];
  if (model == nullptr) {
    ThreadPool pool(1);
    auto opened = model::OpenClassifier(kTiny, {}, pool);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    model = std::make_shared<LoadedModel>(std::string(64, static_cast<char>('a' + which)),
                                          std::move(*opened), nullptr);
  }
  return model;
}

WorkPtr MakeWork(uint64_t id, const std::vector<int>& lengths) {
  auto work = std::make_shared<Work>();
  work->id = id;
  std::mt19937 random(static_cast<unsigned>(id));
  for (const int length : lengths) {
    std::vector<int32_t> ids;
    for (int i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(random() % 20));
    work->batch.Add(ids, std::vector<int32_t>(ids.size()));
  }
  return work;
}

SessionPtr MakeSession(double weight, ModelPtr model = OpenTiny(), QueueLimits limits = {}) {
  return std::make_shared<SessionQueue>(weight, std::move(model), limits);
}

std::map<const SessionQueue*, int64_t> TokensOf(const Turn& turn) {
  std::map<const SessionQueue*, int64_t> tokens;
  for (const Slice& slice : turn.slices) {
    tokens[slice.session.get()] += slice.work->SentenceTokens(slice.begin);
  }
  return tokens;
}

TEST(FairQueue, SharesAreInProportionToUnits) {
  FairQueue queue(32);
  const auto small = MakeSession(1, OpenTiny(), {10'000, 1'000'000});
  const auto large = MakeSession(4, OpenTiny(), {10'000, 1'000'000});
  queue.Add(small);
  queue.Add(large);
  const auto now = Clock::now();
  for (uint64_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(queue.Push(*small, MakeWork(i, {4}), now).ok());
    ASSERT_TRUE(queue.Push(*large, MakeWork(i, {4}), now).ok());
  }
  std::map<const SessionQueue*, int64_t> given;
  for (int i = 0; i < 50; ++i) {
    const Turn turn = queue.TakeBatch(now);
    EXPECT_LE(turn.batch.tokens(), 32);
    for (const auto& [session, tokens] : TokensOf(turn)) given[session] += tokens;
  }
  const double ratio =
      static_cast<double>(given[large.get()]) / static_cast<double>(given[small.get()]);
  EXPECT_NEAR(ratio, 4, 0.1);
  EXPECT_EQ(given[large.get()] + given[small.get()], 50 * 32);  // nothing left idle
}

TEST(FairQueue, ModelsAreNeverMixedAndShareTheTime) {
  FairQueue queue(16);
  const auto a = MakeSession(1, OpenTiny(0), {10'000, 1'000'000});
  const auto b = MakeSession(1, OpenTiny(0), {10'000, 1'000'000});
  const auto c = MakeSession(1, OpenTiny(1), {10'000, 1'000'000});
  for (const auto& session : {a, b, c}) queue.Add(session);
  const auto now = Clock::now();
  for (uint64_t i = 0; i < 300; ++i) {
    for (const auto& session : {a, b, c}) {
      ASSERT_TRUE(queue.Push(*session, MakeWork(i, {4}), now).ok());
    }
  }
  std::map<const SessionQueue*, int64_t> given;
  bool both = false;
  for (int i = 0; i < 60; ++i) {
    const Turn turn = queue.TakeBatch(now);
    const auto tokens = TokensOf(turn);
    for (const auto& [session, count] : tokens) {
      EXPECT_EQ(session->model, turn.model);
      given[session] += count;
    }
    both = both || (tokens.contains(a.get()) && tokens.contains(b.get()));
  }
  EXPECT_TRUE(both) << "sessions with one model share batches";
  for (const auto& session : {a, b, c})
    EXPECT_NEAR(static_cast<double>(given[session.get()]), 60 * 16 / 3, 16);
}

TEST(FairQueue, IdlingEarnsNoCredit) {
  FairQueue queue(16);
  const auto busy = MakeSession(1, OpenTiny(0), {10'000, 1'000'000});
  const auto late = MakeSession(1, OpenTiny(1), {10'000, 1'000'000});
  queue.Add(busy);
  queue.Add(late);
  const auto now = Clock::now();
  for (uint64_t i = 0; i < 400; ++i) {
    ASSERT_TRUE(queue.Push(*busy, MakeWork(i, {4}), now).ok());
  }
  for (int i = 0; i < 50; ++i) queue.TakeBatch(now);  // alone for long
  for (uint64_t i = 0; i < 400; ++i) {
    ASSERT_TRUE(queue.Push(*late, MakeWork(i, {4}), now).ok());
  }
  int turns = 0;
  for (int i = 0; i < 20; ++i) turns += queue.TakeBatch(now).model == late->model;
  EXPECT_NEAR(turns, 10, 1);
}

TEST(FairQueue, SmallWorkOfOneThatIsBehindIsUrgent) {
  FairQueue queue(64);
  const auto flood = MakeSession(1, OpenTiny(0), {10'000, 1'000'000});
  const auto light = MakeSession(1, OpenTiny(1));
  queue.Add(flood);
  queue.Add(light);
  const auto now = Clock::now();
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.Push(*flood, MakeWork(i, {8}), now).ok());
  }
  const Turn running = queue.TakeBatch(now);
  EXPECT_TRUE(queue.TakeUrgent(running, now).slices.empty());  // the flood's own is not
  ASSERT_TRUE(queue.Push(*light, MakeWork(1, {8}), now).ok());
  const Turn urgent = queue.TakeUrgent(running, now);
  ASSERT_EQ(urgent.slices.size(), 1u);
  EXPECT_EQ(urgent.slices[0].session, light);
  // What costs more than half of the batch that runs waits its turn.
  ASSERT_TRUE(queue.Push(*light, MakeWork(2, {16, 16, 16, 16, 16, 16, 16}), now).ok());
  EXPECT_LE(queue.TakeUrgent(running, now).batch.tokens(), 32);
}

TEST(FairQueue, OneThatAsksForLittleIsNotMadeToWaitForAFullBatch) {
  FairQueue queue(64);
  const auto flood = MakeSession(1, OpenTiny(), {10'000, 1'000'000});
  const auto a = MakeSession(1);
  const auto b = MakeSession(1);
  for (const auto& session : {flood, a, b}) queue.Add(session);
  const auto now = Clock::now();
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.Push(*flood, MakeWork(i, {8}), now).ok());
  }
  queue.TakeBatch(now);
  ASSERT_TRUE(queue.Push(*a, MakeWork(1, {8}), now).ok());
  ASSERT_TRUE(queue.Push(*b, MakeWork(1, {8}), now).ok());
  const auto together = TokensOf(queue.TakeBatch(now));
  EXPECT_EQ(together.size(), 2u);
  EXPECT_FALSE(together.contains(flood.get()));
  EXPECT_EQ(queue.TakeBatch(now).batch.tokens(), 64);
}

TEST(FairQueue, HasLimits) {
  FairQueue queue(64);
  const auto session = MakeSession(1, OpenTiny(), {2, 20});
  queue.Add(session);
  const auto now = Clock::now();
  EXPECT_ERROR(queue.Push(*session, MakeWork(1, {16, 16}), now), ErrorCode::kResourceExhausted,
               "at most 2 and 20");
  EXPECT_TRUE(queue.Push(*session, MakeWork(1, {8}), now).ok());
  EXPECT_TRUE(queue.Push(*session, MakeWork(2, {8}), now).ok());
  EXPECT_ERROR(queue.Push(*session, MakeWork(3, {1}), now), ErrorCode::kResourceExhausted,
               "2 batches of 16 tokens");
  auto late = MakeWork(4, {4});
  late->deadline = now - std::chrono::seconds(1);
  session->open.clear();
  ASSERT_TRUE(queue.Push(*session, late, now).ok());
  EXPECT_EQ(queue.TakeExpired(now), std::vector<WorkPtr>{late});
  EXPECT_EQ(queue.waiting_tokens(), 16);
  queue.Remove(session);
  EXPECT_EQ(queue.waiting_tokens(), 0);
}

struct Answer {
  std::promise<Result<WorkResult>> promise;
};

std::future<Result<WorkResult>> Ask(Scheduler& scheduler, const SessionPtr& session,
                                    const WorkPtr& work) {
  auto answer = std::make_shared<Answer>();
  auto future = answer->promise.get_future();
  work->done = [answer](Result<WorkResult> result) {
    answer->promise.set_value(std::move(result));
  };
  if (const Status taken = scheduler.Submit(session, work); !taken.ok()) {
    work->done(taken.error());
  }
  return future;
}

TEST(Scheduler, GivesTheBitsOfTheClassifierWhateverTheBatch) {
  const auto model = OpenTiny();
  Scheduler scheduler({2, 24});
  std::vector<SessionPtr> sessions;
  std::vector<std::pair<WorkPtr, std::future<Result<WorkResult>>>> asked;
  for (int i = 0; i < 4; ++i) {
    sessions.push_back(MakeSession(1 + i, OpenTiny(i % 2), {1000, 100'000}));
    scheduler.Add(sessions.back());
  }
  for (uint64_t i = 0; i < 120; ++i) {
    std::vector<int> lengths;
    for (uint64_t j = 0; j <= i % 5; ++j) lengths.push_back(1 + static_cast<int>((i + j) % 12));
    auto work = MakeWork(i, lengths);
    auto future = Ask(scheduler, sessions[i % 4], work);
    asked.emplace_back(std::move(work), std::move(future));
  }
  ThreadPool pool(1);
  for (auto& [work, future] : asked) {
    const auto result = future.get();
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(result->logits, *model->classifier.Forward(work->batch, pool));
  }
  const SchedulerTotals totals = scheduler.Totals();
  EXPECT_EQ(totals.sentences, 360u);
  EXPECT_LT(totals.batches, 360u);
  EXPECT_EQ(totals.queued_tokens, 0);
}

TEST(Scheduler, RefusesCancelsAndExpires) {
  Scheduler scheduler({1, 64});
  const auto session = MakeSession(1);
  scheduler.Add(session);
  auto empty = std::make_shared<Work>();
  EXPECT_ERROR(scheduler.Submit(session, empty), ErrorCode::kInvalidArgument, "no sentence");
  auto wrong = MakeWork(1, {3});
  wrong->batch.token_ids[1] = 1 << 30;
  EXPECT_ERROR(scheduler.Submit(session, wrong), ErrorCode::kInvalidArgument, "sentence 0");
  auto late = MakeWork(2, {3});
  late->deadline = Clock::now() - std::chrono::seconds(1);
  EXPECT_ERROR(Ask(scheduler, session, late).get(), ErrorCode::kDeadlineExceeded, "ran out");
  EXPECT_TRUE(Ask(scheduler, session, MakeWork(2, {3})).get().ok());  // an id is free once answered
  scheduler.Cancel(session, 77);                                      // nobody's
}

// Each batch has one answer, whoever wins: the thread that computes, a cancel, or the end.
TEST(Scheduler, AnswersOnceUnderCancelsRemovalsAndItsEnd) {
  std::atomic<int> answers{0};
  int submitted = 0;
  {
    Scheduler scheduler({2, 32});
    std::vector<SessionPtr> sessions;
    for (int i = 0; i < 3; ++i) {
      sessions.push_back(MakeSession(1, OpenTiny(i % 2), {1000, 100'000}));
      scheduler.Add(sessions.back());
    }
    std::vector<std::thread> threads;
    std::atomic<int> taken{0};
    for (const SessionPtr& session : sessions) {
      threads.emplace_back([&, session] {
        for (uint64_t i = 0; i < 200; ++i) {
          auto work = MakeWork(i, {5, 3});
          work->done = [&](Result<WorkResult>) { ++answers; };
          if (scheduler.Submit(session, work).ok()) ++taken;
          if (i % 3 == 0) scheduler.Cancel(session, i);
          if (i % 50 == 0) scheduler.Uses();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    submitted = taken;
  }
  EXPECT_EQ(answers, submitted);
}

// An Accelerator with the tiny model in its store.
class AcceleratorTest : public testing::Test {
 protected:
  void Start(Capacity capacity, int sessions = 8) {
    AcceleratorOptions options;
    options.capacity = std::move(capacity);
    options.store.dir = dir_->path();
    options.max_sessions = static_cast<size_t>(sessions);
    auto made = Accelerator::Create(options);
    ASSERT_TRUE(made.ok()) << made.error().message;
    accelerator_ = std::move(*made);
    auto manifest = MakeManifest(kTiny);
    ASSERT_TRUE(manifest.ok());
    hash_ = manifest->content_hash;
    ASSERT_TRUE(accelerator_->store().Find(*manifest).ok());
    for (const ModelFile& file : manifest->files) {
      auto upload = accelerator_->store().BeginUpload(hash_, file.name, 0);
      ASSERT_TRUE(upload.ok()) << upload.error().message;
      ASSERT_TRUE((*upload)->Write(*ReadFile(kTiny / file.name, 1 << 24)).ok());
      ASSERT_TRUE((*upload)->Finish()->complete);
    }
  }

  Result<std::unique_ptr<Session>> Attach(const std::string& endpoint, const std::string& type,
                                          const std::string& precision = "",
                                          const std::string& hash = "", uint32_t protocol = 1) {
    AttachRequest request{protocol,  endpoint,  type, hash.empty() ? hash_ : hash,
                          precision, "the test"};
    std::promise<Result<std::unique_ptr<Session>>> promise;
    accelerator_->Attach(std::move(request), [&](Result<std::unique_ptr<Session>> session) {
      promise.set_value(std::move(session));
    });
    return promise.get_future().get();
  }

  Result<TemporaryDirectory> dir_ = TemporaryDirectory::Create();
  std::unique_ptr<Accelerator> accelerator_;
  std::string hash_;
};

TEST_F(AcceleratorTest, GivesOutItsCapacityAndTakesItBack) {
  Start({"eia2.large", 1, 4 * kGigabyte, 2});
  EXPECT_ERROR(Attach("e", "ml.eia2.xlarge"), ErrorCode::kResourceExhausted,
               "takes 4 units of compute and 8 GB; 2 of 2 units and 4 GB of 4 GB are free");
  auto first = Attach("first", "ml.eia2.medium");
  ASSERT_TRUE(first.ok()) << first.error().message;
  auto second = Attach("second", "eia2.medium", "bf16");
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_ERROR(Attach("third", "eia1.medium"), ErrorCode::kResourceExhausted, "no capacity");
  Snapshot snapshot = accelerator_->Read();
  EXPECT_EQ(snapshot.units_used, 2);
  EXPECT_EQ(snapshot.endpoints.size(), 2u);
  EXPECT_EQ(snapshot.models.size(), 2u);
  first->reset();
  auto third = Attach("third", "eia1.medium", "fp32");
  ASSERT_TRUE(third.ok()) << third.error().message;
  EXPECT_EQ(accelerator_->Read().models.size(), 2u);  // the first's, kept warm
}

TEST_F(AcceleratorTest, RefusesWhatItCannotServe) {
  Start({"", 1, 4 * kGigabyte, 2});
  EXPECT_ERROR(Attach("e", "eia2.medium", "", "", 2), ErrorCode::kUnsupported, "version 2");
  EXPECT_ERROR(Attach("", "eia2.medium"), ErrorCode::kInvalidArgument, "endpoint name");
  EXPECT_ERROR(Attach("a\nb", "eia2.medium"), ErrorCode::kInvalidArgument, "endpoint name");
  EXPECT_ERROR(Attach("e", "p3.2xlarge"), ErrorCode::kInvalidArgument, "ml.eia1.medium");
  EXPECT_ERROR(Attach("e", "eia2.medium", "fp8"), ErrorCode::kInvalidArgument, "fp8");
  EXPECT_ERROR(Attach("e", "eia2.medium", "", std::string(64, '0')), ErrorCode::kNotFound,
               "FindModel");
  EXPECT_EQ(accelerator_->Read().units_used, 0);
}

TEST(Memory, OfAModelIsThatOfItsWeightsAndActivations) {
  model::Config base;  // bert-base: 110 million weights
  const uint64_t fp32 = EstimateMemory(base, model::WeightType::kF32, 512);
  EXPECT_GT(fp32, uint64_t{420} << 20);
  EXPECT_LT(fp32, uint64_t{480} << 20);
  EXPECT_LT(EstimateMemory(base, model::WeightType::kI8, 512), fp32 / 3);
  ThreadPool pool(1);
  auto dir = TemporaryDirectory::Create();
  auto store = ModelStore::Open({dir->path() / "store"});
  LoadedModels models(**store, {1, 64});
  auto manifest = MakeManifest(kTiny);
  ASSERT_TRUE((*store)->Find(*manifest).ok());
  for (const ModelFile& file : manifest->files) {
    auto upload = (*store)->BeginUpload(manifest->content_hash, file.name, 0);
    ASSERT_TRUE((*upload)->Write(*ReadFile(kTiny / file.name, 1 << 24)).ok());
    ASSERT_TRUE((*upload)->Finish()->complete);
  }
  const OpenRequest small{manifest->content_hash, {}, 1000, "ml.eia2.xlarge"};
  EXPECT_ERROR(models.Open(small), ErrorCode::kResourceExhausted, "model needs ");
  OpenRequest enough = small;
  enough.max_memory = kGigabyte;
  const auto first = models.Open(enough);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(*models.Open(enough), *first);  // shared
  EXPECT_ERROR(models.Open(small), ErrorCode::kResourceExhausted, "ml.eia2.xlarge has");
}

}  // namespace
}  // namespace bertie::accelerator
