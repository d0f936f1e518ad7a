#include "accelerator/remote_executor.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "accelerator/scripted_accelerator.h"
#include "eventually.h"
#include "infer/sum_executor.h"

namespace bertie::accelerator {
namespace {

using infer::SumExecutor;
using infer::SumLogits;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = infer::Clock;
using Mood = ScriptedAccelerator::Mood;
using Logits = Result<std::vector<float>>;

RemoteOptions OptionsFor(std::vector<std::string> addresses, infer::Executor* fallback) {
  RemoteOptions options;
  options.addresses = std::move(addresses);
  options.endpoint = "test";
  options.accelerator_type = "ml.eia2.medium";
  options.model_dir = std::filesystem::path(BERTIE_TESTS_DIR) / "golden" / "tiny";
  options.manifest = *MakeManifest(options.model_dir);
  options.num_labels = 2;
  options.vocab_size = 1000;
  options.fallback = fallback;
  options.probe_interval = milliseconds(30);
  return options;
}

std::unique_ptr<RemoteExecutor> Make(RemoteOptions options) {
  auto made = RemoteExecutor::Create(std::move(options));
  EXPECT_TRUE(made.ok()) << made.error().message;
  return made.ok() ? *std::move(made) : nullptr;
}

std::future<Logits> Ask(infer::Executor& executor, std::vector<int32_t> ids,
                        Clock::duration time = seconds(20)) {
  auto batch = std::make_shared<model::PackedBatch>();
  batch->Add(ids, std::vector<int32_t>(ids.size(), 0));
  auto promise = std::make_shared<std::promise<Logits>>();
  auto answer = promise->get_future();
  // A second answer would throw.
  executor.Start(batch, Clock::now() + time,
                 [promise](Logits logits) { promise->set_value(std::move(logits)); });
  return answer;
}

// The answer's first logit, or the error.
std::string Said(std::future<Logits> answer) {
  if (answer.wait_for(seconds(30)) != std::future_status::ready) return "no answer";
  const Logits logits = answer.get();
  return logits.ok()
             ? std::to_string(static_cast<int>(logits->at(0)))
             : std::string(ErrorCodeName(logits.error().code)) + ": " + logits.error().message;
}

// Attaching and probing take seconds on a busy machine.
template <class Condition>
bool EventuallyAttached(Condition condition) {
  return Eventually(condition, seconds(20));
}

// Enough round trips for a percentile.
void Warm(infer::Executor& executor) {
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Said(Ask(executor, {1, 2})), "3");
}

// Knows the accelerator's round trips, so that it begins late batches a second time.
std::unique_ptr<RemoteExecutor> MakeHedging(const ScriptedAccelerator& accelerator,
                                            SumExecutor& local) {
  RemoteOptions options = OptionsFor({accelerator.address()}, &local);
  options.min_late = milliseconds(30);
  auto executor = Make(std::move(options));
  Warm(*executor);
  return executor;
}

TEST(RemoteExecutor, AnswersAreTheAccelerators) {
  ScriptedAccelerator accelerator;
  auto executor = Make(OptionsFor({accelerator.address()}, nullptr));
  EXPECT_EQ(executor->max_in_flight(), 8);
  EXPECT_EQ(executor->max_batch_tokens(), 512);
  EXPECT_EQ(Ask(*executor, {5, 6, 7}).get().value(), SumLogits({5, 6, 7}));
  const RemoteStats stats = executor->stats();
  EXPECT_EQ(stats.remote_batches, 1u);
  EXPECT_GT(stats.bytes_sent, 0u);
  EXPECT_GT(stats.bytes_received, 0u);
}

TEST(RemoteExecutor, AnswersInAnyOrderFindTheirBatches) {
  ScriptedAccelerator accelerator;
  accelerator.replies_in_reverse = 8;
  auto executor = Make(OptionsFor({accelerator.address()}, nullptr));
  std::vector<std::future<Logits>> answers;
  for (int32_t i = 0; i < 8; ++i) answers.push_back(Ask(*executor, {i, 100}));
  for (int32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(answers[static_cast<size_t>(i)].get().value(), SumLogits({i, 100}));
  }
}

TEST(RemoteExecutor, TheModelIsUploadedOnceAndResumed) {
  ScriptedAccelerator accelerator;
  accelerator.break_upload_at = 1000;
  uint64_t size = 0;
  {
    RemoteOptions options = OptionsFor({accelerator.address()}, nullptr);
    for (const ModelFile& file : options.manifest.files) size += file.size;
    auto executor = Make(std::move(options));
    EXPECT_GE(executor->stats().upload_bytes, size);
    EXPECT_EQ(accelerator.uploads, 3);  // one broke off
  }
  auto again = Make(OptionsFor({accelerator.address()}, nullptr));
  EXPECT_EQ(again->stats().upload_bytes, 0u);
  EXPECT_EQ(accelerator.uploads, 3);
}

TEST(RemoteExecutor, WhatIsNoAnswerIsComputedHere) {
  for (const Mood mood : {Mood::kOtherModel, Mood::kTooMany, Mood::kFails, Mood::kOutOfPlace}) {
    ScriptedAccelerator accelerator;
    SumExecutor local;
    auto executor = Make(OptionsFor({accelerator.address()}, &local));
    accelerator.mood = mood;
    EXPECT_EQ(Ask(*executor, {5, 6, 7}).get().value(), SumLogits({5, 6, 7}));
    EXPECT_EQ(executor->stats().fallback_batches, 1u);
    EXPECT_EQ(local.batches().size(), 1u);
    EXPECT_EQ(accelerator.batches, 1);
  }
}

TEST(RemoteExecutor, WithoutFallbackItIsAnError) {
  ScriptedAccelerator accelerator;
  auto executor = Make(OptionsFor({accelerator.address()}, nullptr));
  accelerator.mood = Mood::kOtherModel;
  EXPECT_EQ(Said(Ask(*executor, {5})),
            "unavailable: the accelerator failed: it answered for another model");
  EXPECT_TRUE(executor->available());
}

TEST(RemoteExecutor, WhenItDiesTheBatchIsAnsweredHereAndLaterThereAgain) {
  ScriptedAccelerator accelerator;
  SumExecutor local;
  auto executor = Make(OptionsFor({accelerator.address()}, &local));
  accelerator.mood = Mood::kSilent;
  auto answer = Ask(*executor, {5, 6});
  ASSERT_TRUE(EventuallyAttached([&] { return accelerator.batches == 1; }));
  accelerator.Kill();
  EXPECT_EQ(Said(std::move(answer)), "11");
  EXPECT_EQ(Said(Ask(*executor, {5, 7})), "12");
  EXPECT_EQ(local.batches().size(), 2u);
  accelerator.mood = Mood::kWell;
  accelerator.Restart();
  EXPECT_TRUE(EventuallyAttached([&] { return accelerator.attaches == 2; }));
  EXPECT_TRUE(EventuallyAttached([&] {
    EXPECT_EQ(Said(Ask(*executor, {5})), "5");
    return executor->stats().remote_batches > 0;
  }));
}

TEST(RemoteExecutor, WithoutFallbackItsDeathIsUnavailableUntilItIsBack) {
  ScriptedAccelerator accelerator;
  auto executor = Make(OptionsFor({accelerator.address()}, nullptr));
  accelerator.mood = Mood::kSilent;
  auto answer = Ask(*executor, {5, 6});
  ASSERT_TRUE(EventuallyAttached([&] { return accelerator.batches == 1; }));
  accelerator.Kill();
  EXPECT_EQ(Said(std::move(answer)).substr(0, 11), "unavailable");
  EXPECT_TRUE(EventuallyAttached([&] { return !executor->available(); }));
  EXPECT_EQ(Said(Ask(*executor, {5})), "unavailable: no accelerator is attached");
  accelerator.mood = Mood::kWell;
  accelerator.Restart();
  EXPECT_TRUE(EventuallyAttached([&] { return executor->available(); }));
  EXPECT_EQ(Said(Ask(*executor, {5})), "5");
}

TEST(RemoteExecutor, ALateBatchIsHedgedAndThenItIsLeftAlone) {
  ScriptedAccelerator accelerator;
  SumExecutor local;
  auto executor = MakeHedging(accelerator, local);
  const int before = accelerator.batches;
  const uint64_t hedged = executor->stats().hedged_batches;
  const size_t here = local.batches().size();
  accelerator.mood = Mood::kSilent;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Said(Ask(*executor, {i, 1})), std::to_string(i + 1));
  EXPECT_EQ(accelerator.batches - before, Breaker::kMaxFailures);
  EXPECT_EQ(executor->stats().hedged_batches, hedged + 5);
  EXPECT_TRUE(executor->stats().accelerators[0].resting);
  EXPECT_EQ(local.batches().size(), here + 50);
  EXPECT_TRUE(EventuallyAttached([&] { return accelerator.cancels >= 5; }));
  accelerator.mood = Mood::kWell;
  EXPECT_TRUE(EventuallyAttached([&] { return !executor->stats().accelerators[0].resting; }));
  Warm(*executor);
  EXPECT_EQ(accelerator.attaches, 1);
  EXPECT_GE(executor->stats().remote_batches, 70u);
}

TEST(RemoteExecutor, TheEndWaitsForWhatTheFallbackComputes) {
  ScriptedAccelerator accelerator;
  SumExecutor local;
  auto executor = MakeHedging(accelerator, local);
  local.CloseGate();
  accelerator.mood = Mood::kSilent;
  auto answer = Ask(*executor, {5, 6}, milliseconds(300));
  local.WaitUntilRunning();  // hedged
  EXPECT_EQ(Said(std::move(answer)).substr(0, 17), "deadline_exceeded");
  auto end = std::async(std::launch::async, [&] { executor.reset(); });
  EXPECT_EQ(end.wait_for(milliseconds(100)), std::future_status::timeout);
  local.OpenGate();
  EXPECT_EQ(end.wait_for(seconds(20)), std::future_status::ready);
}

TEST(RemoteExecutor, NobodyWaitsLongerThanHisDeadline) {
  ScriptedAccelerator accelerator;
  auto executor = Make(OptionsFor({accelerator.address()}, nullptr));
  accelerator.mood = Mood::kSilent;
  const auto begin = Clock::now();
  EXPECT_EQ(Said(Ask(*executor, {5}, milliseconds(30))).substr(0, 17), "deadline_exceeded");
  EXPECT_LT(Clock::now() - begin, seconds(5));
  EXPECT_TRUE(EventuallyAttached([&] { return accelerator.cancels == 1; }));
}

TEST(RemoteExecutor, TheLeastLoadedOfSeveralAndTheOtherWhenOneDies) {
  ScriptedAccelerator first;
  ScriptedAccelerator second;
  auto executor = Make(OptionsFor({first.address(), second.address()}, nullptr));
  ASSERT_TRUE(EventuallyAttached([&] { return first.attaches == 1 && second.attaches == 1; }));
  ASSERT_TRUE(EventuallyAttached([&] { return executor->max_in_flight() == 16; }));
  first.mood = Mood::kSilent;
  second.mood = Mood::kSilent;
  std::vector<std::future<Logits>> answers;
  for (int i = 0; i < 6; ++i) answers.push_back(Ask(*executor, {1, 2, 3}));
  ASSERT_TRUE(EventuallyAttached([&] { return first.batches + second.batches == 6; }));
  EXPECT_EQ(first.batches, 3);
  second.mood = Mood::kWell;
  first.Kill();
  // Those of the first are sent to the second, once; the second's own still wait for their answer.
  ASSERT_TRUE(EventuallyAttached([&] { return second.batches == 6; }));
  second.Kill();
  int good = 0;
  for (auto& answer : answers) good += Said(std::move(answer)) == "6";
  EXPECT_EQ(good, 3);
  EXPECT_EQ(executor->stats().sent_batches, 9u);
}

TEST(RemoteExecutor, ADeadAddressBesideALivingOne) {
  ScriptedAccelerator dead;
  ScriptedAccelerator living;
  dead.Kill();
  auto executor = Make(OptionsFor({dead.address(), living.address()}, nullptr));
  EXPECT_EQ(Said(Ask(*executor, {5})), "5");
}

TEST(RemoteExecutor, RefusalsSayWhatToDo) {
  SumExecutor local;
  {
    ScriptedAccelerator full;
    full.refusal = "no room";
    auto made = RemoteExecutor::Create(OptionsFor({full.address()}, &local));
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().message, "the accelerator at " + full.address() + ": no room");
  }
  {
    ScriptedAccelerator locked;
    locked.token = "right";
    RemoteOptions options = OptionsFor({locked.address()}, &local);
    options.security.token = "wrong";
    auto made = RemoteExecutor::Create(options);
    ASSERT_FALSE(made.ok());
    EXPECT_NE(made.error().message.find("BERTIE_ACCELERATOR_TOKEN"), std::string::npos);
    options.security.token = "right";
    EXPECT_EQ(Said(Ask(*Make(options), {5})), "5");
  }
  ScriptedAccelerator dead;
  dead.Kill();
  auto made = RemoteExecutor::Create(OptionsFor({dead.address()}, nullptr));
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().message.find("bertie accelerator"), std::string::npos);
  // With a fallback it is awaited.
  auto executor = Make(OptionsFor({dead.address()}, &local));
  EXPECT_EQ(Said(Ask(*executor, {5})), "5");
  EXPECT_TRUE(executor->available());
}

}  // namespace
}  // namespace bertie::accelerator
