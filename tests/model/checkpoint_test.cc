#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/model_source.h"
#include "model/parameters.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;
using formats::Json;

const fs::path kData = fs::path(BERTIE_TESTS_DIR) / "model/data";

std::vector<float> Floats(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  EXPECT_TRUE(CopyToFloat(view, values.data()));
  return values;
}

void Write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// ---- the same model in every form

struct Form {
  const char* folder;
  const char* dtype;
  size_t missing;
};

std::ostream& operator<<(std::ostream& out, const Form& form) { return out << form.folder; }

class EveryForm : public testing::TestWithParam<Form> {};

// expected.json holds what torch found in the model that it saved.
TEST_P(EveryForm, HoldsTheNumbersThatTorchSaved) {
  const auto checkpoint = LoadCheckpoint(kData / GetParam().folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->missing.size(), GetParam().missing);
  const Json expected = (*formats::ReadJsonFile(kData / "expected.json"))[GetParam().dtype];
  size_t compared = 0;
  for (const auto& [name, tensor] : checkpoint->tensors) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(expected.contains(name));
    EXPECT_STREQ(DTypeName(tensor.dtype), GetParam().dtype);
    EXPECT_EQ(Json(tensor.shape), expected[name]["shape"]);
    const std::vector<float> values = Floats(tensor);
    const Json& first = expected[name]["first"];
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(double{values[i]}, first[i].get<double>());
    EXPECT_EQ(double{values.back()}, expected[name]["last"].get<double>());
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    EXPECT_NEAR(sum, expected[name]["sum"].get<double>(), 1e-9);
    ++compared;
  }
  EXPECT_EQ(compared, expected.size() - GetParam().missing);
}

INSTANTIATE_TEST_SUITE_P(Forms, EveryForm,
                         testing::Values(Form{"safetensors", "F32", 0},
                                         Form{"sharded_safetensors", "F32", 0},
                                         Form{"bin_zip", "F32", 0}, Form{"bin_legacy", "F32", 0},
                                         Form{"bin_pickle4", "F32", 0},
                                         Form{"sharded_bin", "F32", 0}, Form{"strided", "F32", 0},
                                         Form{"nested", "F32", 0}, Form{"module_prefix", "F32", 0},
                                         Form{"gamma_beta", "F32", 0}, Form{"no_prefix", "F32", 2},
                                         Form{"masked_lm", "F32", 4}, Form{"fp16", "F16", 0},
                                         Form{"bf16", "BF16", 0}, Form{"bf16_legacy", "BF16", 0}),
                         [](const auto& param_info) {
                           return std::string(param_info.param.folder);
                         });

// Every number, not only a few: bit for bit, or rounded to half of the last place.
TEST_P(EveryForm, EqualsTheFirst) {
  const std::string dtype = GetParam().dtype;
  const float rounding = dtype == "F32" ? 0 : dtype == "F16" ? 0x1p-11f : 0x1p-8f;
  const float smallest = dtype == "F16" ? 0x1p-25f : 0;  // half a step of F16's subnormal numbers
  const auto first = LoadCheckpoint(kData / "safetensors");
  const auto other = LoadCheckpoint(kData / GetParam().folder);
  ASSERT_TRUE(first.ok() && other.ok());
  for (const auto& [name, tensor] : other->tensors) {
    const std::vector<float> expected = Floats(first->tensors.at(name));
    const std::vector<float> found = Floats(tensor);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_LE(std::abs(found[i] - expected[i]), rounding * std::abs(expected[i]) + smallest)
          << name << " " << i;
    }
  }
}

TEST(LoadCheckpoint, SaysWhatIsMissingAndUnused) {
  const auto masked = LoadCheckpoint(kData / "masked_lm");
  ASSERT_TRUE(masked.ok()) << masked.error().message;
  EXPECT_EQ(masked->missing,
            (std::vector<std::string>{"bert.pooler.dense.weight", "bert.pooler.dense.bias",
                                      "classifier.weight", "classifier.bias"}));
  ASSERT_FALSE(masked->unused.empty());
  for (const std::string& name : masked->unused) EXPECT_TRUE(name.starts_with("cls.")) << name;
  const auto bare = LoadCheckpoint(kData / "no_prefix");
  EXPECT_EQ(bare->missing, (std::vector<std::string>{"classifier.weight", "classifier.bias"}));
  EXPECT_EQ(bare->source, kData / "no_prefix" / "model.safetensors");
}

TEST(LoadCheckpoint, OtherLabelsDropTheHead) {
  const auto same = LoadCheckpoint(kData / "safetensors", {.labels = {"bad", "good"}});
  ASSERT_TRUE(same.ok()) << same.error().message;
  EXPECT_TRUE(same->missing.empty()) << "two labels by other names fit the head";
  EXPECT_EQ(same->config.labels, (std::vector<std::string>{"bad", "good"}));
  const auto three = LoadCheckpoint(kData / "safetensors", {.labels = {"a", "b", "c"}});
  ASSERT_TRUE(three.ok()) << three.error().message;
  EXPECT_EQ(three->missing, (std::vector<std::string>{"classifier.weight", "classifier.bias"}));
  EXPECT_EQ(three->config.num_labels(), 3);
  EXPECT_FALSE(three->tensors.contains("classifier.bias"));
}

TEST(LoadCheckpoint, TensorsOutliveTheCall) {
  std::vector<float> values;
  {
    const Checkpoint copy = *LoadCheckpoint(kData / "strided");
    values = Floats(copy.tensors.at("classifier.weight"));
  }
  EXPECT_EQ(values.size(), 32u);
}

// ---- faults

class BrokenCheckpoint : public testing::Test {
 protected:
  // A copy of a stored model to spoil.
  explicit BrokenCheckpoint(const std::string& folder = "safetensors") { Use(folder); }

  void Use(const std::string& folder) {
    fs::remove_all(model_);
    fs::copy(kData / folder, model_);
  }

  Result<Checkpoint> Load(const LoadOptions& options = {}) const {
    return LoadCheckpoint(model_, options);
  }

  // Rewrites config.json with one member set.
  void SetConfig(const std::string& name, const Json& value) const {
    Json json = *formats::ReadJsonFile(model_ / "config.json");
    json[name] = value;
    Write(model_ / "config.json", formats::DumpJson(json));
  }

  // Rewrites model.safetensors after change(entries).
  template <class Change>
  void SetTensors(const Change& change) const {
    const auto file = formats::SafetensorsFile::Open(model_ / "model.safetensors");
    std::vector<formats::SafetensorsEntry> entries;
    for (const auto& [name, tensor] : file->tensors) entries.push_back({name, tensor});
    change(entries);
    ASSERT_TRUE(formats::WriteSafetensors(model_ / "model.safetensors", entries).ok());
  }

  static formats::SafetensorsEntry& Find(std::vector<formats::SafetensorsEntry>& entries,
                                         const std::string& name) {
    return *std::find_if(entries.begin(), entries.end(),
                         [&](const auto& entry) { return entry.name == name; });
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
  fs::path model_ = dir_.path() / "model";
};

TEST_F(BrokenCheckpoint, AbsentFilesAreNamed) {
  EXPECT_ERROR(LoadCheckpoint("/nowhere"), ErrorCode::kNotFound, "/nowhere: no such model folder");
  EXPECT_ERROR(LoadCheckpoint(model_ / "vocab.txt"), ErrorCode::kInvalidArgument,
               "vocab.txt: found a file, expected a model folder");
  fs::remove(model_ / "model.safetensors");
  EXPECT_ERROR(Load(), ErrorCode::kNotFound,
               model_.string() + ": no weights: expected model.safetensors, pytorch_model.bin");
  fs::remove(model_ / "config.json");
  EXPECT_ERROR(Load(), ErrorCode::kNotFound, "config.json: cannot open: No such file");
}

TEST_F(BrokenCheckpoint, WrongShapeIsNamedWithBoth) {
  SetConfig("intermediate_size", 48);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "model.safetensors: tensor 'bert.encoder.layer.0.intermediate.dense.bias': found "
               "shape [24], expected [48] by config.json");
}

TEST_F(BrokenCheckpoint, VocabularyOfAnotherSizeIsRefused) {
  SetConfig("vocab_size", 65);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "tensor 'bert.embeddings.word_embeddings.weight': found shape [64, 16], expected "
               "[65, 16]");
}

TEST_F(BrokenCheckpoint, HeadOfAnotherSizeIsRefusedWithoutLabels) {
  SetConfig("id2label", {{"0", "a"}, {"1", "b"}, {"2", "c"}});
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "tensor 'classifier.bias': found shape [2], expected [3]");
  EXPECT_TRUE(Load({.labels = {"a", "b"}}).ok());
}

TEST_F(BrokenCheckpoint, MissingTensorsAreNamedAndCounted) {
  SetConfig("num_hidden_layers", 3);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "tensor 'bert.encoder.layer.2.attention.self.query.weight' is missing, and 15 more "
               "of 57");
  SetConfig("num_hidden_layers", 2);
  SetTensors([](auto& entries) {
    std::erase_if(entries,
                  [](const auto& e) { return e.name == "bert.embeddings.LayerNorm.bias"; });
  });
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "'bert.embeddings.LayerNorm.bias' is missing");
}

TEST_F(BrokenCheckpoint, LayersBeyondTheConfigAreUnused) {
  SetConfig("num_hidden_layers", 1);
  const auto checkpoint = Load();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->unused.size(), 16u);
}

TEST_F(BrokenCheckpoint, IntegerWeightsAreRefused) {
  const std::vector<int32_t> integers(16, 1);
  SetTensors([&](auto& entries) {
    Find(entries, "bert.pooler.dense.bias").tensor = {
        DType::kI32, {16}, reinterpret_cast<const std::byte*>(integers.data())};
  });
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "tensor 'bert.pooler.dense.bias': found element type I32, expected F32");
}

TEST_F(BrokenCheckpoint, PositionIdsAndOtherBuffersAreUnused) {
  const std::vector<int64_t> ids(32);
  SetTensors([&](auto& entries) {
    entries.push_back({"bert.embeddings.position_ids",
                       {DType::kI64, {1, 32}, reinterpret_cast<const std::byte*>(ids.data())}});
  });
  const auto checkpoint = Load();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->unused, std::vector<std::string>{"bert.embeddings.position_ids"});
}

TEST_F(BrokenCheckpoint, TwoNamesForOneParameterAreRefused) {
  SetTensors([](auto& entries) {
    entries.push_back({"pooler.dense.bias", Find(entries, "bert.pooler.dense.bias").tensor});
  });
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               "tensors 'bert.pooler.dense.bias' and 'pooler.dense.bias' both stand for "
               "bert.pooler.dense.bias");
}

TEST_F(BrokenCheckpoint, CutAndGarbageFilesAreNamed) {
  fs::resize_file(model_ / "model.safetensors", 20'000);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData,
               (model_ / "model.safetensors").string() + ": not a safetensors file: ");
  Write(model_ / "model.safetensors", "garbage, and more of it");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "model.safetensors: not a safetensors file");
  for (const char* form : {"bin_zip", "bin_legacy"}) {
    Use(form);
    fs::resize_file(model_ / "pytorch_model.bin", 20'000);
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, (model_ / "pytorch_model.bin").string() + ": ");
    Write(model_ / "pytorch_model.bin", "");
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "pytorch_model.bin: found ''");
  }
}

TEST_F(BrokenCheckpoint, ShardsAndTheirIndexAreChecked) {
  Use("sharded_safetensors");
  const fs::path index = model_ / "model.safetensors.index.json";
  const Json good = *formats::ReadJsonFile(index);
  const auto with = [&](const std::string& tensor, const Json& file) {
    Json json = good;
    json["weight_map"][tensor] = file;
    Write(index, formats::DumpJson(json));
    return Load();
  };
  EXPECT_ERROR(with("classifier.bias", "../model/model-00001-of-00003.safetensors"),
               ErrorCode::kInvalidData,
               "model.safetensors.index.json: weight_map 'classifier.bias'");
  EXPECT_ERROR(with("classifier.bias", "/etc/passwd"), ErrorCode::kInvalidData, "the same folder");
  EXPECT_ERROR(with("classifier.bias", ".."), ErrorCode::kInvalidData, "the same folder");
  EXPECT_ERROR(with("classifier.bias", 3), ErrorCode::kInvalidData, "the same folder, found '3'");
  EXPECT_ERROR(with("extra", "model-00001-of-00003.safetensors"), ErrorCode::kInvalidData,
               "model-00001-of-00003.safetensors: tensor 'extra', which "
               "model.safetensors.index.json places there, is missing");
  EXPECT_ERROR(with("extra", "absent.safetensors"), ErrorCode::kNotFound, "absent.safetensors");
  Write(index, "{\"weight_map\": {}}");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "expected an object weight_map");
  Write(index, formats::DumpJson(good));
  fs::remove(model_ / "model-00002-of-00003.safetensors");
  EXPECT_ERROR(Load(), ErrorCode::kNotFound, "model-00002-of-00003.safetensors: cannot open");
}

TEST_F(BrokenCheckpoint, SafetensorsComeBeforePickles) {
  Write(model_ / "pytorch_model.bin", "garbage that is never looked at");
  EXPECT_TRUE(Load().ok());
}

// ---- fresh heads

TEST(InitializeMissing, GivesTheSameHeadForTheSameSeed) {
  const auto head = [](const std::string& folder, uint64_t seed) {
    Checkpoint checkpoint = *LoadCheckpoint(kData / folder);
    InitializeMissing(checkpoint, seed);
    EXPECT_TRUE(checkpoint.missing.empty());
    for (const ParameterSpec& spec : ParameterSpecs(checkpoint.config)) {
      EXPECT_EQ(checkpoint.tensors.at(spec.name).shape, spec.shape) << spec.name;
    }
    EXPECT_EQ(Floats(checkpoint.tensors.at("classifier.bias")), (std::vector<float>{0, 0}));
    return Floats(checkpoint.tensors.at("classifier.weight"));
  };
  EXPECT_EQ(head("no_prefix", 7), head("no_prefix", 7));
  EXPECT_NE(head("no_prefix", 7), head("no_prefix", 8));
  EXPECT_EQ(head("no_prefix", 7), head("masked_lm", 7)) << "whatever else is missing";
}

// The generator's sequence is fixed: a model trained here can be trained again elsewhere.
TEST(InitializeMissing, NumbersAreTheSameOnEveryMachine) {
  Checkpoint checkpoint = *LoadCheckpoint(kData / "no_prefix");
  InitializeMissing(checkpoint, 1);
  const auto weights = Floats(checkpoint.tensors.at("classifier.weight"));
  // Computed apart from this code, in Python, from the published description of mt19937_64.
  EXPECT_FLOAT_EQ(weights[0], 0.0137461798f);
  EXPECT_FLOAT_EQ(weights[1], -0.0188204058f);
  EXPECT_FLOAT_EQ(weights[31], -0.0385289206f);
}

TEST(InitializeMissing, DrawsFromANormalDistribution) {
  Checkpoint checkpoint = *LoadCheckpoint(kData / "no_prefix");
  checkpoint.config.labels.assign(10'000, "x");
  InitializeMissing(checkpoint, 3);
  const auto weights = Floats(checkpoint.tensors.at("classifier.weight"));
  ASSERT_EQ(weights.size(), 160'000u);
  double sum = 0;
  double squares = 0;
  size_t within_one = 0;
  size_t beyond_two = 0;
  for (const float weight : weights) {
    const double z = double{weight} / 0.02;
    sum += z;
    squares += z * z;
    within_one += std::abs(z) < 1;
    beyond_two += std::abs(z) > 2;
  }
  const auto n = static_cast<double>(weights.size());
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.02);
  EXPECT_NEAR(static_cast<double>(within_one) / n, 0.6827, 0.006);
  EXPECT_NEAR(static_cast<double>(beyond_two) / n, 0.0455, 0.003);
}

// ---- saving

class SaveCheckpointTest : public testing::Test {
 protected:
  Status Save(const Checkpoint& checkpoint) const {
    std::vector<NamedTensor> tensors;
    for (const ParameterSpec& spec : ParameterSpecs(checkpoint.config)) {
      tensors.push_back({spec.name, checkpoint.tensors.at(spec.name)});
    }
    return SaveCheckpoint(out_, checkpoint.config, tensors,
                          *text::Tokenizer::Load(kData / "safetensors"));
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
  fs::path out_ = dir_.path() / "out";
};

TEST_F(SaveCheckpointTest, LoadsAsItWasSaved) {
  const Checkpoint checkpoint = *LoadCheckpoint(kData / "bin_legacy");
  const Status status = Save(checkpoint);
  ASSERT_TRUE(status.ok()) << status.error().message;
  const auto again = LoadCheckpoint(out_);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(again->missing.empty());
  EXPECT_TRUE(again->unused.empty());
  EXPECT_EQ(again->config.labels, checkpoint.config.labels);
  for (const auto& [name, tensor] : checkpoint.tensors) {
    EXPECT_EQ(Floats(again->tensors.at(name)), Floats(tensor)) << name;
  }
  const auto tokenizer = text::Tokenizer::Load(out_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 64u);
}

TEST_F(SaveCheckpointTest, ReplacesOldWeightsOfEveryForm) {
  fs::copy(kData / "sharded_bin", out_);
  Write(out_ / "history.jsonl", "kept");
  ASSERT_TRUE(Save(*LoadCheckpoint(kData / "safetensors")).ok());
  EXPECT_EQ(LoadCheckpoint(out_)->source, out_ / "model.safetensors");
  EXPECT_EQ(*ReadFile(out_ / "history.jsonl", 100), "kept");
  for (const auto& file : fs::directory_iterator(out_)) {
    EXPECT_FALSE(file.path().filename().string().starts_with("pytorch_model")) << file.path();
  }
}

TEST_F(SaveCheckpointTest, MayReplaceTheFolderItWasLoadedFrom) {
  fs::copy(kData / "safetensors", out_);
  const Checkpoint checkpoint = *LoadCheckpoint(out_);
  ASSERT_TRUE(Save(checkpoint).ok());
  ASSERT_TRUE(Save(checkpoint).ok()) << "from a mapping of a file that is gone";
  EXPECT_EQ(Floats(LoadCheckpoint(out_)->tensors.at("classifier.weight")),
            Floats(checkpoint.tensors.at("classifier.weight")));
}

TEST_F(SaveCheckpointTest, ArchiveLoadsThroughAModelSource) {
  ASSERT_TRUE(Save(*LoadCheckpoint(kData / "safetensors")).ok());
  Write(out_ / ".hidden", "not packed");
  const fs::path archive = out_ / "model.tar.gz";
  ASSERT_TRUE(SaveArchive(out_, archive).ok());
  const auto size = fs::file_size(archive);
  ASSERT_TRUE(SaveArchive(out_, archive).ok());
  EXPECT_EQ(fs::file_size(archive), size) << "an archive is not packed into itself";
  fs::path unpacked;
  {
    const auto source = ModelSource::Open(archive);
    ASSERT_TRUE(source.ok()) << source.error().message;
    unpacked = source->dir();
    EXPECT_TRUE(LoadCheckpoint(unpacked).ok());
    EXPECT_TRUE(text::Tokenizer::Load(unpacked).ok());
    EXPECT_TRUE(fs::exists(unpacked / "vocab.txt"));
    EXPECT_FALSE(fs::exists(unpacked / ".hidden"));
  }
  EXPECT_FALSE(fs::exists(unpacked)) << "the temporary folder was left behind";
}

// ---- a real model, where there is one

TEST(RealCheckpoint, LoadsMiniLm) {
  const char* folder = std::getenv("BERTIE_MINILM");
  if (folder == nullptr) GTEST_SKIP() << "BERTIE_MINILM is not set";
  const auto checkpoint = LoadCheckpoint(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->config.hidden_size, 384);
  EXPECT_EQ(checkpoint->tensors.at("bert.embeddings.word_embeddings.weight").shape,
            (Shape{30522, 384}));
  const auto labels = LoadCheckpoint(folder, {.labels = {"a", "b", "c"}});
  ASSERT_TRUE(labels.ok()) << labels.error().message;
  EXPECT_EQ(labels->missing.size(), 2u);
}

}  // namespace
}  // namespace bertie::model
