#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "data/random.h"

namespace bertie::data {
namespace {

std::vector<int32_t> Lengths(size_t count) {
  Random random(99);
  std::vector<int32_t> lengths(count);
  for (int32_t& length : lengths) length = static_cast<int32_t>(3 + random.Below(60));
  return lengths;
}

std::vector<size_t> Flatten(const std::vector<std::vector<size_t>>& batches) {
  std::vector<size_t> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

// Tokens a padded forward would compute: each batch as wide as its longest sentence.
int64_t PaddedTokens(const std::vector<std::vector<size_t>>& batches,
                     const std::vector<int32_t>& lengths) {
  int64_t total = 0;
  for (const auto& batch : batches) {
    int32_t longest = 0;
    for (size_t index : batch) longest = std::max(longest, lengths[index]);
    total += static_cast<int64_t>(batch.size()) * longest;
  }
  return total;
}

TEST(Sampler, EachOrderVisitsEverySentenceOnce) {
  for (Order order : {Order::kLengthGrouped, Order::kShuffled, Order::kSequential}) {
    for (size_t count : {0u, 1u, 31u, 32u, 33u, 1000u}) {
      const auto lengths = Lengths(count);
      const auto batches = MakeBatches(lengths, {.order = order, .batch_size = 32}, 0);
      EXPECT_EQ(batches.size(), (count + 31) / 32);
      const auto partial = std::count_if(batches.begin(), batches.end(),
                                         [](const auto& batch) { return batch.size() != 32; });
      EXPECT_EQ(partial, count % 32 == 0 ? 0 : 1);
      auto all = Flatten(batches);
      std::sort(all.begin(), all.end());
      std::vector<size_t> expected(count);
      std::iota(expected.begin(), expected.end(), size_t{0});
      EXPECT_EQ(all, expected);
    }
  }
}

TEST(Sampler, TokenBudgetFillsEachBatchAsFarAsItGoes) {
  constexpr int64_t kBudget = 500;
  for (Order order : {Order::kLengthGrouped, Order::kShuffled, Order::kSequential}) {
    auto lengths = Lengths(1000);
    lengths[17] = 900;  // by itself over the budget
    const auto batches = MakeBatches(lengths, {.order = order, .batch_tokens = kBudget}, 2);
    int64_t tokens = 0;
    for (const auto& batch : batches) {
      int64_t sum = 0;
      for (size_t index : batch) sum += lengths[index];
      EXPECT_TRUE(sum <= kBudget || batch.size() == 1) << sum;
      tokens += sum;
    }
    EXPECT_GT(tokens, static_cast<int64_t>(batches.size()) * kBudget * 9 / 10);
    auto all = Flatten(batches);
    std::sort(all.begin(), all.end());
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
  }
}

TEST(Sampler, SequentialKeepsTheOrder) {
  const auto batches = MakeBatches(Lengths(5), {.order = Order::kSequential, .batch_size = 2}, 3);
  EXPECT_EQ(batches, (std::vector<std::vector<size_t>>{{0, 1}, {2, 3}, {4}}));
}

TEST(Sampler, SeedAndEpochDecideTheOrder) {
  const auto lengths = Lengths(500);
  for (Order order : {Order::kLengthGrouped, Order::kShuffled}) {
    const SamplerOptions one{.order = order, .batch_size = 16, .seed = 1};
    const SamplerOptions two{.order = order, .batch_size = 16, .seed = 2};
    EXPECT_EQ(MakeBatches(lengths, one, 0), MakeBatches(lengths, one, 0));
    EXPECT_NE(MakeBatches(lengths, one, 0), MakeBatches(lengths, one, 1));
    EXPECT_NE(MakeBatches(lengths, one, 0), MakeBatches(lengths, two, 0));
  }
}

// From a separate program (Python, whole numbers) of the same definition.
TEST(Sampler, OrderIsFixedForAllTime) {
  const std::vector<int32_t> lengths = {5, 9, 3, 7, 4, 8, 6, 5};
  EXPECT_EQ(Flatten(MakeBatches(lengths, {.order = Order::kShuffled, .batch_size = 3}, 1)),
            (std::vector<size_t>{1, 6, 7, 5, 2, 0, 3, 4}));
  EXPECT_EQ(MakeBatches(lengths, {.batch_size = 2, .chunk_batches = 2}, 1),
            (std::vector<std::vector<size_t>>{{3, 0}, {6, 7}, {4, 2}, {1, 5}}));
}

TEST(Sampler, LengthGroupingLeavesLittlePadding) {
  const auto lengths = Lengths(8000);
  const int64_t real = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const auto grouped = MakeBatches(lengths, {.batch_size = 32}, 0);
  const auto shuffled = MakeBatches(lengths, {.order = Order::kShuffled, .batch_size = 32}, 0);
  EXPECT_LT(PaddedTokens(grouped, lengths), real * 105 / 100);
  EXPECT_GT(PaddedTokens(shuffled, lengths), real * 150 / 100);
}

TEST(Sampler, GroupedBatchesComeInMixedOrderOfLength) {
  const auto lengths = Lengths(1600);  // one chunk: sorted throughout but for the last shuffle
  const auto batches = MakeBatches(lengths, {.batch_size = 32}, 0);
  int rises = 0;
  for (size_t i = 1; i < batches.size(); ++i) {
    rises += lengths[batches[i].front()] > lengths[batches[i - 1].front()];
  }
  EXPECT_GT(rises, 10);
  EXPECT_LT(rises, 40);
}

// From a separate program, itself checked against the published first outputs of both generators
// (SplitMix64 of 0: 0xe220a8397b1dcdaf; xoshiro256** of 1, 2, 3, 4: 11520, 0, 1509978240).
TEST(Random, FollowsItsDefinition) {
  Random random(1);
  EXPECT_EQ(random.Next(), 17154914556750032435u);
  EXPECT_EQ(random.Next(), 15481925071032317162u);
  EXPECT_EQ(random.Next(), 3049712571244418729u);
  Random stream(1, 7);
  EXPECT_EQ(stream.Next(), 1643048376164816837u);
  EXPECT_EQ(stream.Next(), 7260035645498427974u);
}

TEST(Random, BelowIsEven) {
  Random random(5);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[random.Below(7)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 400);  // four standard deviations
  EXPECT_EQ(random.Below(1), 0u);
}

TEST(Random, ShuffleMakesEveryOrderEquallyOften) {
  Random random(6);
  std::vector<int> counts(6);
  for (int i = 0; i < 60000; ++i) {
    int items[] = {0, 1, 2};
    Shuffle(std::span<int>(items), random);
    ++counts[static_cast<size_t>(items[0] * 2 + (items[1] > items[2]))];
  }
  for (int count : counts) EXPECT_NEAR(count, 10000, 400);
}

}  // namespace
}  // namespace bertie::data
