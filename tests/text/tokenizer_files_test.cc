// Model folders: what is read from them, what is refused, what is written.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"
#include "formats/json.h"
#include "text/small_tokenizer.h"
#include "text/tokenizer.h"

namespace bertie::text {
namespace {

using formats::Json;

Json AddedJson(int id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json SmallTokenizerJson() {
  Json vocab = Json::object();
  for (size_t id = 0; id < kSmallVocabulary.size(); ++id) {
    vocab[kSmallVocabulary[id]] = id;
  }
  return {{"version", "1.0"},
          {"truncation", {{"max_length", 3}, {"strategy", "LongestFirst"}, {"stride", 0}}},
          {"padding", {{"strategy", {{"Fixed", 128}}}, {"pad_id", 0}, {"pad_token", "[PAD]"}}},
          {"added_tokens", Json::array({AddedJson(2, "[CLS]"), AddedJson(3, "[SEP]")})},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor",
           {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
          {"decoder", nullptr},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", vocab}}}};
}

class TokenizerFilesTest : public testing::Test {
 protected:
  std::filesystem::path dir() const { return dir_.path(); }
  void Write(const std::string& name, const std::string& content) {
    WriteText(dir() / name, content);
  }
  void WriteJson(const std::string& name, const Json& json) {
    Write(name, formats::DumpJson(json));
  }

  Result<Tokenizer> Load() const { return Tokenizer::Load(dir()); }
  Ids Encoded(const std::string& text) const {
    const auto tokenizer = Load();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    return tokenizer.ok() ? tokenizer->Encode(text).ids : Ids{};
  }
  // tokenizer.json with one member, given by its pointer, replaced.
  void WriteChanged(const std::string& pointer, const Json& value) {
    Json json = SmallTokenizerJson();
    json[Json::json_pointer(pointer)] = value;
    WriteJson("tokenizer.json", json);
  }
  void WriteWithout(const std::string& object, const std::string& key) {
    Json json = SmallTokenizerJson();
    json[Json::json_pointer(object)].erase(key);
    WriteJson("tokenizer.json", json);
  }

  const TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
};

TEST_F(TokenizerFilesTest, VocabularyFileAlone) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  EXPECT_EQ(Encoded("HELLO [MASK]é"), (Ids{2, 8, 4, 20, 3}));
}

TEST_F(TokenizerFilesTest, CasedByTheConfig) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  WriteJson("tokenizer_config.json", Json{{"do_lower_case", false}});
  EXPECT_EQ(Encoded("Hello é HELLO"), (Ids{2, 18, 19, 1, 3}));
  EXPECT_FALSE(Load()->lower_case());
}

TEST_F(TokenizerFilesTest, TokenizerJsonComesFirst) {
  Write("vocab.txt", "not a vocabulary");
  WriteJson("tokenizer.json", SmallTokenizerJson());
  EXPECT_EQ(Encoded("hello world a b c"), (Ids{2, 8, 9, 12, 13, 14, 3}))
      << "its truncation and padding are not ours";
  EXPECT_EQ(Encoded("a[MASK]"), (Ids{2, 12, 4, 3})) << "a special token it does not list";
}

// As transformers' BertTokenizerFast, whose own defaults stand where the config says nothing.
TEST_F(TokenizerFilesTest, TheConfigOverridesTheNormalizer) {
  WriteChanged("/normalizer/lowercase", false);
  EXPECT_EQ(Encoded("Hello"), (Ids{2, 8, 3}));
  WriteJson("tokenizer_config.json", Json{{"do_lower_case", false}});
  EXPECT_EQ(Encoded("Hello"), (Ids{2, 18, 3}));
  WriteJson("tokenizer_config.json", Json{{"tokenizer_class", "PreTrainedTokenizerFast"}});
  EXPECT_EQ(Encoded("Hello"), (Ids{2, 18, 3})) << "a class that leaves it alone";
  WriteJson(
      "tokenizer_config.json",
      Json{{"do_lower_case", false}, {"strip_accents", true}, {"tokenize_chinese_chars", false}});
  EXPECT_EQ(Encoded("é"), (Ids{2, 20, 3}));
  EXPECT_EQ(Encoded("a你"), (Ids{2, 1, 3}));
}

TEST_F(TokenizerFilesTest, TheTemplateSaysWhatStandsAround) {
  Json json = SmallTokenizerJson();
  const auto special = [](const char* id, int type) {
    return Json{{"SpecialToken", {{"id", id}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  json["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {special("A1", 0), sequence("A", 0), special("B1", 0)}},
      {"pair",
       {special("A1", 0), sequence("A", 0), special("B1", 0), sequence("B", 1), special("B1", 1)}},
      {"special_tokens",
       {{"A1", {{"id", "A1"}, {"ids", {12}}, {"tokens", {"a"}}}},
        {"B1", {{"id", "B1"}, {"ids", {13}}, {"tokens", {"b"}}}}}}};
  WriteJson("tokenizer.json", json);
  EXPECT_EQ(Encoded("hello"), (Ids{12, 8, 13}));
  json["post_processor"]["pair"][3]["Sequence"]["type_id"] = 0;
  WriteJson("tokenizer.json", json);
  EXPECT_ERROR(Load(), ErrorCode::kUnsupported, "the template is not [CLS] A [SEP]");
  json["post_processor"]["special_tokens"].erase("A1");
  json["post_processor"]["pair"][3]["Sequence"]["type_id"] = 1;
  WriteJson("tokenizer.json", json);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "post_processor: special_tokens: A1 is missing");
}

TEST_F(TokenizerFilesTest, AddedTokensOfTheConfig) {
  WriteJson("tokenizer.json", SmallTokenizerJson());
  Json mask = AddedJson(4, "[MASK]");
  mask.erase("id");
  mask["lstrip"] = true;
  WriteJson("tokenizer_config.json",
            Json{{"added_tokens_decoder", {{"4", mask}, {"25", {{"content", "<x>"}}}}}});
  EXPECT_EQ(Encoded("a [MASK]<X>"), (Ids{2, 12, 4, 25, 3}));
}

TEST_F(TokenizerFilesTest, SpecialTokensMapCountsWithoutADecoder) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  WriteJson("special_tokens_map.json",
            Json{{"cls_token", "a"}, {"additional_special_tokens", {"<x>"}}});
  EXPECT_EQ(Encoded("b<x>"), (Ids{12, 13, 25, 3}));
  WriteJson("tokenizer_config.json", Json{{"added_tokens_decoder", Json::object()}});
  EXPECT_EQ(Encoded("b").front(), 2);
}

TEST_F(TokenizerFilesTest, AddedTokensFile) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  WriteJson("added_tokens.json", Json{{"<X>", 25}, {"<y>", 26}});
  EXPECT_EQ(Encoded("a<x><Y>"), (Ids{2, 12, 25, 26, 3}));
}

TEST_F(TokenizerFilesTest, NoFiles) {
  EXPECT_ERROR(Load(), ErrorCode::kNotFound, "holds neither tokenizer.json nor vocab.txt");
  EXPECT_ERROR(Tokenizer::Load(dir() / "missing"), ErrorCode::kNotFound, "missing");
}

TEST_F(TokenizerFilesTest, BadVocabularies) {
  Write("vocab.txt", Lines(kSmallVocabulary) + "hello\n");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "vocab.txt:26: token 'hello' is already on line 9");
  Write("vocab.txt", "hello\nworld\n");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "'[UNK]' is not in the vocabulary");
  Write("vocab.txt", "");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "'[UNK]' is not in the vocabulary");
  std::filesystem::remove(dir() / "vocab.txt");
  std::filesystem::create_directory(dir() / "vocab.txt");
  EXPECT_FALSE(Load().ok());
}

TEST_F(TokenizerFilesTest, BadJson) {
  Write("tokenizer.json", "{\"model\":");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "tokenizer.json:1:");
  Write("tokenizer.json", "[]");
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "the file is an array, expected an object");
  Write("tokenizer.json", std::string(100'000, '['));
  EXPECT_FALSE(Load().ok());
}

TEST_F(TokenizerFilesTest, WhatIsNotSupportedIsNamed) {
  const std::pair<const char*, Json> cases[] = {
      {"/model/type", "BPE"},
      {"/normalizer", nullptr},
      {"/normalizer/type", "Sequence"},
      {"/pre_tokenizer/type", "Whitespace"},
      {"/post_processor", nullptr},
      {"/post_processor/type", "RobertaProcessing"},
      {"/version", "2.0"},
  };
  for (const auto& [pointer, value] : cases) {
    WriteChanged(pointer, value);
    const std::string part = std::string(pointer).substr(1, std::string(pointer).find('/', 1) - 1);
    EXPECT_ERROR(Load(), ErrorCode::kUnsupported, "tokenizer.json: " + part);
  }
}

TEST_F(TokenizerFilesTest, WrongTypesAreNamed) {
  const std::pair<const char*, Json> cases[] = {
      {"/model/vocab", Json::array()},
      {"/model/vocab/hello", -1},
      {"/model/vocab/hello", "8"},
      {"/model/vocab/hello", 8.5},
      {"/model/vocab/hello", int64_t{1} << 40},
      {"/model/unk_token", 1},
      {"/model/max_input_chars_per_word", "100"},
      {"/normalizer/lowercase", "yes"},
      {"/normalizer/strip_accents", 1},
      {"/added_tokens", Json::object()},
      {"/added_tokens/0", 7},
      {"/added_tokens/0/content", nullptr},
      {"/added_tokens/0/lstrip", 1},
      {"/post_processor/cls", "[CLS]"},
      {"/post_processor/cls/1", -2},
  };
  for (const auto& [pointer, value] : cases) {
    SCOPED_TRACE(pointer);
    WriteChanged(pointer, value);
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "tokenizer.json: ");
  }
}

TEST_F(TokenizerFilesTest, MissingFieldsAreNamed) {
  for (const char* key :
       {"vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"}) {
    WriteWithout("/model", key);
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "model: " + std::string(key) + " is missing");
  }
  WriteWithout("", "model");
  EXPECT_ERROR(Load(), ErrorCode::kUnsupported, "model is missing");
}

TEST_F(TokenizerFilesTest, OneIdForTwoTokens) {
  WriteChanged("/model/vocab/hello", 9);
  EXPECT_ERROR(Load(), ErrorCode::kInvalidData, "have the same id, 9");
}

TEST_F(TokenizerFilesTest, BadConfigs) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  const std::pair<Json, const char*> cases[] = {
      {Json::array(), "the file is an array"},
      {{{"do_lower_case", "no"}}, "do_lower_case is 'no', expected true or false"},
      {{{"cls_token", 5}}, "cls_token: the token is 5, expected a string or an object"},
      {{{"mask_token", {{"lstrip", true}}}}, "mask_token: content is missing"},
      {{{"additional_special_tokens", "x"}}, "additional_special_tokens is 'x'"},
      {{{"added_tokens_decoder", {{"one", {{"content", "x"}}}}}}, "'one' is not a token's id"},
      {{{"added_tokens_decoder", {{"1", "x"}}}}, "the added token is 'x', expected an object"},
  };
  for (const auto& [config, message] : cases) {
    WriteJson("tokenizer_config.json", config);
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, std::string("tokenizer_config.json: "));
    EXPECT_ERROR(Load(), ErrorCode::kInvalidData, message);
  }
}

class SaveTest : public TokenizerFilesTest {
 protected:
  // Saves what this folder holds into another and loads it from there.
  Tokenizer Saved() {
    const auto tokenizer = Load();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    const Status status = tokenizer->Save(saved_.path(), 64);
    EXPECT_TRUE(status.ok()) << status.error().message;
    auto loaded = Tokenizer::Load(saved_.path());
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return *std::move(loaded);
  }
  Json SavedJson(const std::string& name) const {
    return *formats::ReadJsonFile(saved_.path() / name);
  }

  const TemporaryDirectory saved_ = TemporaryDirectory::Create().value();
};

TEST_F(SaveTest, GivesTheSameTokenizer) {
  WriteJson("tokenizer.json", SmallTokenizerJson());
  Json mask = AddedJson(4, "[MASK]");
  mask["lstrip"] = true;
  WriteJson("tokenizer_config.json",
            Json{{"added_tokens_decoder", {{"4", mask}, {"25", {{"content", "<X>"}}}}},
                 {"strip_accents", false},
                 {"tokenize_chinese_chars", false},
                 {"additional_special_tokens", {"<y>"}}});
  const std::string text = "Hello é a你 b [MASK] <x><y> \u302E[SEP]";
  const Ids expected = Encoded(text);
  const Tokenizer saved = Saved();
  EXPECT_EQ(saved.Encode(text).ids, expected);
  EXPECT_EQ(saved.vocab_size(), 27u);
  EXPECT_EQ(SavedJson("tokenizer_config.json")["model_max_length"], 64);
  EXPECT_EQ(SavedJson("tokenizer_config.json")["tokenizer_class"], "BertTokenizer");
  EXPECT_EQ(SavedJson("special_tokens_map.json")["cls_token"], "[CLS]");
}

TEST_F(SaveTest, VocabularyFileAloneIsEnoughToo) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  WriteJson("tokenizer_config.json", Json{{"do_lower_case", false}});
  const Ids expected = Encoded("Hello unaffable");
  Saved();
  EXPECT_EQ(*ReadFile(saved_.path() / "vocab.txt", 10'000), Lines(kSmallVocabulary));
  std::filesystem::remove(saved_.path() / "tokenizer.json");
  EXPECT_EQ(Tokenizer::Load(saved_.path())->Encode("Hello unaffable").ids, expected);
}

TEST_F(SaveTest, ATokenWithALineEndIsInTokenizerJsonOnly) {
  Json json = SmallTokenizerJson();
  json["model"]["vocab"]["x\ny"] = 25;
  json["model"]["vocab"]["z"] = 30;
  WriteJson("tokenizer.json", json);
  const Tokenizer saved = Saved();
  EXPECT_EQ(saved.token(25), "x\ny");
  EXPECT_EQ(saved.token(30), "z");
  EXPECT_EQ(*ReadFile(saved_.path() / "vocab.txt", 10'000),
            Lines(kSmallVocabulary) + "\n\n\n\n\nz\n");
}

TEST_F(SaveTest, SaysWhereItCannotWrite) {
  Write("vocab.txt", Lines(kSmallVocabulary));
  EXPECT_ERROR(Load()->Save(saved_.path() / "absent", 64), ErrorCode::kNotFound, "absent");
}

}  // namespace
}  // namespace bertie::text
