#include "model/compiled_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <tuple>

#include "base/directory.h"
#include "formats/safetensors.h"
#include "model/golden.h"
#include "model/open.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

class CompiledFile : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = TemporaryDirectory::Create();
    ASSERT_TRUE(folder.ok());
    folder_.emplace(std::move(*folder));
    dir_ = folder_->path() / "compiled";
  }

  ClassifierWeights Pack(WeightType precision, std::set<std::string> higher = {}) {
    auto weights = PackWeights(golden_.LoadModel(), {precision, std::move(higher)}, pool_);
    EXPECT_TRUE(weights.ok());
    return std::move(*weights);
  }

  void Save(const ClassifierWeights& weights, WeightType precision) {
    const auto tokenizer = text::Tokenizer::Load(GoldenDir() / "tiny");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    CompiledInfo info;
    info.precision = precision;
    info.cpu = "avx2";
    info.source_sha256 = "0123";
    const Status saved = SaveCompiled(dir_, weights, info, *tokenizer);
    ASSERT_TRUE(saved.ok()) << saved.error().message;
  }

  std::vector<float> Logits(const Classifier& classifier) {
    auto logits = classifier.Forward(golden_.Batch(), pool_);
    EXPECT_TRUE(logits.ok());
    return *logits;
  }

  // Writes the compiled file anew after `change` had its tensors and metadata.
  template <class Change>
  void Rewrite(const Change& change) {
    const fs::path path = dir_ / kCompiledFile;
    auto file = formats::SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok());
    change(*file);
    std::vector<formats::SafetensorsEntry> entries;
    for (const auto& [name, tensor] : file->tensors) entries.push_back({name, tensor});
    ASSERT_TRUE(formats::WriteSafetensors(path, entries, file->metadata).ok());
  }

  std::string LoadError() {
    auto model = LoadCompiled(dir_, pool_);
    return model.ok() ? "loaded" : model.error().message;
  }

  const Golden golden_{"tiny"};
  ThreadPool pool_{2};
  std::optional<TemporaryDirectory> folder_;
  fs::path dir_;
};

TEST_F(CompiledFile, GivesTheBitsOfTheModelItWasMadeFrom) {
  for (WeightType precision : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
    const ClassifierWeights weights = Pack(precision);
    Save(weights, precision);
    auto opened = OpenClassifier(dir_, {}, pool_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_EQ(opened->precision, precision);
    EXPECT_EQ(opened->note, "");
    EXPECT_EQ(Logits(opened->classifier), Logits(Classifier(weights))) << PrecisionName(precision);
  }
}

TEST_F(CompiledFile, LowerPrecisionsAnswerNearlyTheSame) {
  const auto exact = Logits(Classifier(Pack(WeightType::kF32)));
  const auto expected = golden_.Floats("logits");
  for (const auto& [precision, tolerance] :
       {std::pair(WeightType::kBF16, 0.02f), std::pair(WeightType::kI8, 0.1f)}) {
    const auto logits = Logits(Classifier(Pack(precision)));
    EXPECT_NE(logits, exact);
    for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], tolerance) << i;
  }
}

TEST_F(CompiledFile, RemembersWhichMatricesAreHeldHigher) {
  const std::string name = "bert.encoder.layer.0.output.dense";
  Save(Pack(WeightType::kI8, {name}), WeightType::kI8);
  const auto info = ReadCompiledInfo(dir_);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->precision, WeightType::kI8);
  EXPECT_EQ(info->higher, 1);
  EXPECT_EQ(info->cpu, "avx2");
  EXPECT_EQ(info->source_sha256, "0123");
  const auto model = LoadCompiled(dir_, pool_);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->weights.layers[0].output.weight.type(), WeightType::kBF16);
  EXPECT_EQ(model->weights.layers[0].intermediate.weight.type(), WeightType::kI8);
  EXPECT_EQ(model->weights.pooler.weight.type(), WeightType::kBF16);
  EXPECT_EQ(model->weights.classifier.weight.type(), WeightType::kF32);
  EXPECT_EQ(model->weights.word.type(), WeightType::kI8);
}

TEST_F(CompiledFile, WordEmbeddingsTakeTheBytesOfTheirPrecision) {
  for (const auto& [precision, higher, bytes] :
       {std::tuple(WeightType::kF32, "", 4), std::tuple(WeightType::kBF16, "", 2),
        std::tuple(WeightType::kI8, "", 1),
        std::tuple(WeightType::kI8, "bert.embeddings.word_embeddings", 2)}) {
    Save(Pack(precision, {higher}), precision);
    const auto file = formats::SafetensorsFile::Open(dir_ / kCompiledFile);
    ASSERT_TRUE(file.ok());
    const Config& config = golden_.LoadModel().config;
    const int64_t scales = bytes == 1 ? 4 * config.vocab_size : 0;
    EXPECT_EQ(file->tensors.at("bert.embeddings.word_embeddings.weight").bytes(),
              static_cast<size_t>(bytes * config.vocab_size * config.hidden_size + scales));
    const auto info = ReadCompiledInfo(dir_);
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->higher, *higher == '\0' ? 0 : 1);
  }
}

TEST_F(CompiledFile, IsNoCheckpointAndSaysSo) {
  Save(Pack(WeightType::kF32), WeightType::kF32);
  EXPECT_TRUE(IsCompiled(dir_));
  const auto checkpoint = LoadCheckpoint(dir_);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_NE(checkpoint.error().message.find("give the model it was compiled from"),
            std::string::npos);
  const auto opened = OpenClassifier(dir_, {"it", WeightType::kI8}, pool_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(opened.error().message.find("it was compiled in fp32"), std::string::npos);
}

TEST_F(CompiledFile, DamageIsNamed) {
  const ClassifierWeights weights = Pack(WeightType::kI8);
  const auto broken = [&](const auto& change) {
    Save(weights, WeightType::kI8);
    Rewrite(change);
    return LoadError();
  };
  using File = formats::SafetensorsFile;
  EXPECT_NE(broken([](File& file) {
              file.tensors.erase("bert.pooler.dense.weight");
            }).find("no matrix 'bert.pooler.dense'"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) {
              file.tensors["bert.embeddings.word_embeddings.weight"].shape[0] -= 1;
            }).find("'bert.embeddings.word_embeddings' has"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) {
              file.tensors.erase("classifier.bias");
            }).find("no tensor 'classifier.bias'"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) {
              file.tensors["bert.pooler.dense.weight"].shape[0] -= 64;
            }).find("config.json asks for"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) { file.metadata["version"] = "1"; }).find("version '1'"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) { file.metadata["format"] = "pt"; }).find("the format is 'pt'"),
            std::string::npos);
  EXPECT_NE(broken([](File& file) { file.metadata["precision"] = "int4"; }).find("no precision"),
            std::string::npos);
  for (const char* matrices : {"[]", "{\"classifier\":{\"type\":\"fp32\",\"width\":0,\"group\":1}}",
                               "{\"classifier\":3}", "{"}) {
    EXPECT_NE(broken([&](File& file) { file.metadata["matrices"] = matrices; }), "loaded")
        << matrices;
  }
  // Cut short, as by a copy that was interrupted.
  Save(weights, WeightType::kI8);
  fs::resize_file(dir_ / kCompiledFile, fs::file_size(dir_ / kCompiledFile) - 100);
  EXPECT_NE(LoadError(), "loaded");
}

TEST_F(CompiledFile, WeightsThatAreNotFiniteAreRefusedInInt8) {
  Checkpoint checkpoint = golden_.LoadModel();
  const std::string name = "bert.encoder.layer.0.output.dense.weight";
  TensorView& view = checkpoint.tensors.at(name);
  std::vector<float> values(static_cast<size_t>(view.elements()));
  ASSERT_TRUE(CopyToFloat(view, values.data()));
  values[5] = std::numeric_limits<float>::quiet_NaN();
  view = {DType::kF32, view.shape, reinterpret_cast<const std::byte*>(values.data())};
  const auto weights = PackWeights(checkpoint, {WeightType::kI8, {}}, pool_);
  ASSERT_FALSE(weights.ok());
  EXPECT_NE(weights.error().message.find(name + " holds a value that is not finite"),
            std::string::npos);
}

}  // namespace
}  // namespace bertie::model
