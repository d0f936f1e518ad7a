#include "model/classifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "model/golden.h"

namespace bertie::model {
namespace {

class ClassifierGolden : public testing::TestWithParam<const char*> {};

TEST_P(ClassifierGolden, LogitsAreThoseOfTransformers) {
  const Golden golden(GetParam());
  ThreadPool pool(2);
  auto classifier = Classifier::Create(golden.LoadModel(), pool);
  ASSERT_TRUE(classifier.ok()) << classifier.error().message;
  auto logits = classifier->Forward(golden.Batch(), pool);
  ASSERT_TRUE(logits.ok()) << logits.error().message;
  const auto expected = golden.Floats("logits");
  ASSERT_EQ(logits->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR((*logits)[i], expected[i], 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(Models, ClassifierGolden, testing::Values("tiny", "head64"));

// Batches of many sizes reach every height of the kernels' tiles.
TEST(Classifier, SentenceHasTheSameBitsAloneInABatchAndForAnyThreadCount) {
  const Golden golden("head64");
  ThreadPool one(1), two(2), three(3);
  auto classifier = Classifier::Create(golden.LoadModel(), two);
  ASSERT_TRUE(classifier.ok()) << classifier.error().message;
  const int64_t labels = classifier->config().num_labels();
  std::mt19937 random(7);
  auto draw = [&](int low, int high) {
    return low + static_cast<int32_t>(random() % static_cast<uint32_t>(high - low + 1));
  };
  PackedBatch batch;
  std::vector<float> alone;
  for (int i = 0; i < 37; ++i) {
    std::vector<int32_t> ids(static_cast<size_t>(draw(1, i % 7 == 0 ? 120 : 20)));
    for (auto& id : ids) id = draw(0, static_cast<int>(classifier->config().vocab_size) - 1);
    const std::vector<int32_t> types(ids.size(), 0);
    PackedBatch single;
    single.Add(ids, types);
    batch.Add(ids, types);
    auto logits = classifier->Forward(single, one);
    ASSERT_TRUE(logits.ok());
    alone.insert(alone.end(), logits->begin(), logits->end());
    for (ThreadPool* pool : {&one, &two, &three}) {
      auto together = classifier->Forward(batch, *pool);
      ASSERT_TRUE(together.ok());
      ASSERT_EQ(together->size(), static_cast<size_t>((i + 1) * labels));
      ASSERT_EQ(*together, alone) << "batch of " << i + 1 << ", " << pool->size() << " threads";
    }
  }
}

TEST(Classifier, ThreadsMayChangeFromLayerToLayer) {
  const Golden golden("head64");
  ThreadPool one(1), three(3);
  auto classifier = Classifier::Create(golden.LoadModel(), three);
  ASSERT_TRUE(classifier.ok()) << classifier.error().message;
  const PackedBatch batch = golden.Batch();
  const auto expected = classifier->Forward(batch, one);
  ASSERT_TRUE(expected.ok());
  for (const int first : {0, 1}) {
    int asked = 0;
    const auto logits = classifier->Forward(
        batch, [&]() -> ThreadPool& { return (first + asked++) % 2 == 0 ? one : three; });
    ASSERT_TRUE(logits.ok());
    EXPECT_EQ(*logits, *expected);
    EXPECT_EQ(asked, classifier->config().num_hidden_layers);
  }
}

TEST(Classifier, RefusesWhatIsNotInItsTables) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  auto classifier = Classifier::Create(golden.LoadModel(), pool);
  ASSERT_TRUE(classifier.ok()) << classifier.error().message;
  const auto vocabulary = static_cast<int32_t>(classifier->config().vocab_size);
  auto message = [&](std::vector<int32_t> ids, std::vector<int32_t> types) {
    PackedBatch batch;
    batch.Add(ids, types);
    auto logits = classifier->Forward(batch, pool);
    return logits.ok() ? std::string() : logits.error().message;
  };
  EXPECT_NE(message({vocabulary}, {0}).find("token id"), std::string::npos);
  EXPECT_NE(message({-1}, {0}).find("token id -1"), std::string::npos);
  EXPECT_NE(message({1}, {2}).find("token type id 2"), std::string::npos);
  const auto longest = static_cast<size_t>(classifier->config().max_position_embeddings);
  EXPECT_EQ(message(std::vector<int32_t>(longest, 1), std::vector<int32_t>(longest, 0)), "");
  EXPECT_NE(message(std::vector<int32_t>(longest + 1, 1), std::vector<int32_t>(longest + 1, 0))
                .find("tokens"),
            std::string::npos);
  auto none = classifier->Forward(PackedBatch(), pool);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
}

TEST(Classifier, NamesTheHeadThatIsNotThere) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  Checkpoint checkpoint = golden.LoadModel();
  checkpoint.tensors.erase("classifier.weight");
  auto classifier = Classifier::Create(checkpoint, pool);
  ASSERT_FALSE(classifier.ok());
  EXPECT_NE(classifier.error().message.find("'classifier.weight'"), std::string::npos);
  EXPECT_NE(classifier.error().message.find("bertie train"), std::string::npos);
}

}  // namespace
}  // namespace bertie::model
