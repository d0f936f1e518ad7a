// The model of tests/golden/tiny, out of the archives that releases of PyTorch made of it.
#include "model/script_bert.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/directory.h"
#include "model/model_source.h"
#include "text/tokenizer.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(BERTIE_TESTS_DIR) / "golden";

TEST(ScriptBert, GivesTheModelBack) {
  const auto tiny = LoadCheckpoint(kGolden / "tiny");
  ASSERT_TRUE(tiny.ok());
  int archives = 0;
  for (const auto& entry : fs::directory_iterator(kGolden / "torchscript")) {
    if (entry.path().extension() != ".pt") continue;
    SCOPED_TRACE(entry.path());
    ++archives;
    const auto bert = ReadScriptBert(entry.path());
    ASSERT_TRUE(bert.ok()) << bert.error().message;
    const Config& config = bert->config;
    EXPECT_EQ(config.vocab_size, 64);
    EXPECT_EQ(config.num_attention_heads, 4);
    EXPECT_EQ(config.num_hidden_layers, 2);
    EXPECT_EQ(config.intermediate_size, 64);
    EXPECT_EQ(config.max_position_embeddings, 40);
    EXPECT_EQ(config.num_labels(), 3);
    EXPECT_FLOAT_EQ(config.layer_norm_eps, 1e-12f);
    ASSERT_EQ(bert->tensors.size(), tiny->tensors.size());
    for (const NamedTensor& tensor : bert->tensors) {
      const TensorView& expected = tiny->tensors.at(tensor.name);
      ASSERT_EQ(tensor.tensor.shape, expected.shape);
      EXPECT_EQ(std::memcmp(tensor.tensor.data, expected.data, expected.bytes()), 0) << tensor.name;
    }
    const bool masked = entry.path().string().find("no-mask") == std::string::npos;
    EXPECT_EQ(bert->info.mask, masked ? "attention_mask" : "");
    EXPECT_EQ(bert->info.takes_types, bert->info.arguments.size() == 3);
  }
  EXPECT_EQ(archives, 6);
}

TEST(ModelSource, MakesAFolderOfAnArchive) {
  ScriptOptions options;
  options.vocabulary = kGolden / "tiny" / "vocab.txt";
  options.pad_to = 0;
  fs::path folder;
  {
    const auto source = ModelSource::Open(kGolden / "torchscript/torch2.8-no-mask.pt", options);
    ASSERT_TRUE(source.ok()) << source.error().message;
    folder = source->dir();
    EXPECT_EQ(source->format(), SourceFormat::kTorchScript);
    EXPECT_TRUE(LoadCheckpoint(folder).ok());
    const auto tokenizer = text::Tokenizer::Load(folder);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    EXPECT_TRUE(tokenizer->lower_case());
    const text::Encoding one = tokenizer->Encode("the sea");
    EXPECT_EQ(one.ids.size(), 12u);
    EXPECT_EQ(one.ids.back(), tokenizer->pad_id());
    EXPECT_FALSE(one.truncated);
    EXPECT_TRUE(tokenizer->Encode("the the the the the the the the the the the").truncated);
    const text::Encoding pair = tokenizer->EncodePair("the", "sea");
    EXPECT_EQ(pair.type_ids, std::vector<int32_t>(12, 0));
  }
  EXPECT_FALSE(fs::exists(folder));
}

TEST(ModelSource, CapitalsInTheVocabularyMeanCased) {
  const auto dir = TemporaryDirectory::Create();
  ASSERT_TRUE(dir.ok());
  std::ifstream in(kGolden / "tiny" / "vocab.txt");
  std::ofstream out(dir->path() / "words.txt");
  for (std::string line; std::getline(in, line);) out << (line == "sea" ? "Sea" : line) << '\n';
  out.close();
  ScriptOptions options;
  options.vocabulary = dir->path() / "words.txt";
  const auto source = ModelSource::Open(kGolden / "torchscript/torch1.3.pt", options);
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_FALSE(text::Tokenizer::Load(source->dir())->lower_case());
}

}  // namespace
}  // namespace bertie::model
