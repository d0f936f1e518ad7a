#include "model/tuning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "model/adapters.h"
#include "model/golden.h"
#include "model/trainable_classifier.h"

namespace bertie::model {
namespace {

// A model with the reference's weights and batch, and the pass over it.
struct Fixture {
  explicit Fixture(const TuningOptions& tuning = {}) : golden("tiny") {
    auto created = TrainableClassifier::Create(golden.LoadModel(), tuning);
    if (!created.ok()) ADD_FAILURE() << created.error().message;
    if (created.ok()) model.emplace(std::move(*created));
    batch = golden.Batch();
    labels = golden.Ints("labels");
    pass.batch = &batch;
    pass.labels = labels;
    pass.gradient_scale = 0.2f;
  }

  ParameterStore& parameters() { return model->parameters(); }
  std::vector<float> Gradient(const std::string& name) {
    for (const auto& slot : parameters().slots()) {
      if (slot.name != name) continue;
      const float* from = parameters().gradients() + slot.offset;
      return {from, from + slot.count};
    }
    ADD_FAILURE() << "no parameter " << name;
    return {};
  }
  float* Values(const std::string& name) {
    return parameters().values() + parameters().offset(name);
  }
  std::vector<float> Run() {
    auto result = model->Accumulate(pass, pool);
    if (!result.ok()) ADD_FAILURE() << result.error().message;
    return result.ok() ? result->logits : std::vector<float>();
  }

  Golden golden;
  ThreadPool pool{2};
  std::optional<TrainableClassifier> model;
  PackedBatch batch;
  std::vector<int32_t> labels;
  TrainingPass pass;
};

TuningOptions Freeze(int64_t layers) {
  TuningOptions tuning;
  tuning.freeze_layers = layers;
  return tuning;
}

TuningOptions Lora(int64_t rank) {
  TuningOptions tuning;
  tuning.lora.rank = rank;
  tuning.lora.alpha = 6;
  return tuning;
}

void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected,
                const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  float largest = 1e-6f;
  for (float value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-4f * largest) << what << " at " << i;
  }
}

TEST(Tuning, FreezingChangesNoGradientOfWhatIsTrained) {
  Fixture whole;
  const auto logits = whole.Run();
  const int64_t layers = whole.model->config().num_hidden_layers;
  for (int64_t frozen = 0; frozen <= layers; ++frozen) {
    Fixture part(Freeze(frozen));
    EXPECT_EQ(part.Run(), logits) << frozen;
    const auto trained = part.parameters().trained_slots();
    EXPECT_LT(trained.size(), whole.parameters().slots().size());
    EXPECT_EQ(trained.back().name, "classifier.bias");
    EXPECT_EQ(trained.front().name, frozen == layers
                                        ? "bert.pooler.dense.weight"
                                        : "bert.encoder.layer." + std::to_string(frozen) +
                                              ".attention.self.query.weight");
    for (const auto& slot : trained) {
      ExpectNear(part.Gradient(slot.name), whole.Gradient(slot.name), slot.name);
    }
  }
}

TEST(Tuning, OutputOfFrozenLayersCanBeKept) {
  const int64_t layers = Fixture().model->config().num_hidden_layers;
  for (int64_t frozen = 1; frozen <= layers; ++frozen) {
    Fixture once(Freeze(frozen)), kept(Freeze(frozen));
    const auto logits = once.Run();
    const PackedBatch& batch = kept.batch;
    auto output = kept.model->RunFrozen(batch, kept.pool);
    ASSERT_TRUE(output.ok());
    int64_t rows = 0;
    for (int64_t i = 0; i < batch.size(); ++i) {
      const auto& ends = batch.cumulative_seq_lengths;
      const auto at = static_cast<size_t>(i);
      rows += kept.model->FrozenRows(ends[at + 1] - ends[at]);
    }
    const std::vector<float> copy(*output, *output + rows * kept.model->config().hidden_size);
    kept.pass.frozen_output = copy.data();
    EXPECT_EQ(kept.Run(), logits) << frozen;
    EXPECT_EQ(kept.Gradient("classifier.weight"), once.Gradient("classifier.weight"));
  }
}

TEST(Tuning, FrozenLayersRunWithoutDropout) {
  Golden golden("tiny");
  Checkpoint checkpoint = golden.LoadModel();
  checkpoint.config.hidden_dropout_prob = checkpoint.config.attention_probs_dropout_prob = 0.3f;
  auto model = TrainableClassifier::Create(checkpoint, Freeze(1));
  ASSERT_TRUE(model.ok());
  Fixture plain(Freeze(1));
  auto dropped = model->RunFrozen(plain.batch, plain.pool);
  auto kept = plain.model->RunFrozen(plain.batch, plain.pool);
  ASSERT_TRUE(dropped.ok() && kept.ok());
  const auto count = static_cast<size_t>(plain.batch.tokens() * plain.model->config().hidden_size);
  EXPECT_EQ(std::memcmp(*dropped, *kept, count * sizeof(float)), 0);
}

TEST(Tuning, RefusesMoreFrozenLayersThanThereAre) {
  auto model = TrainableClassifier::Create(Golden("tiny").LoadModel(), Freeze(40));
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("40 layers to freeze"), std::string::npos);
}

TEST(Lora, StartsAsTheModelItself) {
  Fixture plain, adapted(Lora(4));
  ExpectNear(adapted.Run(), plain.Run(), "logits");
}

// The gradients of A and B follow from the one of the merged weight W + s B A: dB = s dW A^T,
// dA = s B^T dW. The plain model's gradients are checked against PyTorch elsewhere.
TEST(Lora, GradientsAreThoseOfTheMergedWeights) {
  constexpr int64_t kRank = 4;
  Fixture adapted(Lora(kRank));
  const int64_t width = adapted.model->config().hidden_size;
  const float scale = 6.0f / kRank;
  for (const auto& slot : adapted.parameters().slots()) {
    if (!slot.name.ends_with("lora_B.weight")) continue;
    for (int64_t i = 0; i < slot.count; ++i) {
      adapted.parameters().values()[slot.offset + i] =
          0.05f * std::sin(static_cast<float>(i) + static_cast<float>(slot.offset % 97));
    }
  }
  const auto logits = adapted.Run();
  Fixture plain;
  auto merged = TrainableClassifier::Create(adapted.parameters().View(adapted.model->config()));
  ASSERT_TRUE(merged.ok()) << merged.error().message;
  plain.model.emplace(std::move(*merged));
  ExpectNear(logits, plain.Run(), "logits");
  ExpectNear(adapted.Gradient("bert.pooler.dense.weight"),
             plain.Gradient("bert.pooler.dense.weight"), "pooler");
  for (int64_t layer = 0; layer < adapted.model->config().num_hidden_layers; ++layer) {
    for (const char* which : {"query", "value"}) {
      const std::string linear =
          "bert.encoder.layer." + std::to_string(layer) + ".attention.self." + which;
      const auto dw = plain.Gradient(linear + ".weight");
      const float* a = adapted.Values(LoraName(linear, 'A'));
      const float* b = adapted.Values(LoraName(linear, 'B'));
      std::vector<float> da(static_cast<size_t>(kRank * width)), db(da.size());
      for (int64_t i = 0; i < width; ++i) {
        for (int64_t j = 0; j < width; ++j) {
          const float g = scale * dw[static_cast<size_t>(i * width + j)];
          for (int64_t k = 0; k < kRank; ++k) {
            da[static_cast<size_t>(k * width + j)] += b[i * kRank + k] * g;
            db[static_cast<size_t>(i * kRank + k)] += g * a[k * width + j];
          }
        }
      }
      ExpectNear(adapted.Gradient(LoraName(linear, 'A')), da, linear + " A");
      ExpectNear(adapted.Gradient(LoraName(linear, 'B')), db, linear + " B");
    }
  }
}

TEST(Lora, TrainsTheHeadAndTheAdaptersOfLayersThatAreNotFrozen) {
  TuningOptions tuning = Lora(2);
  tuning.freeze_layers = 1;
  Fixture adapted(tuning);
  adapted.Run();
  const auto trained = adapted.parameters().trained_slots();
  EXPECT_EQ(trained.front().name, "bert.pooler.dense.weight");
  const int64_t layers = adapted.model->config().num_hidden_layers;
  EXPECT_EQ(static_cast<int64_t>(trained.size()), 4 + 4 * (layers - 1));
  for (const auto& slot : trained) EXPECT_EQ(slot.name.find("layer.0."), std::string::npos);
  EXPECT_EQ(adapted.parameters().NamedTensors(adapted.model->config()).size(),
            Fixture().parameters().slots().size());
}

}  // namespace
}  // namespace bertie::model
