#include "model/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "expect_error.h"
#include "formats/json.h"

namespace bertie::model {
namespace {

using formats::Json;

constexpr const char* kBert = R"({"model_type": "bert", "hidden_size": 16, "num_attention_heads": 2,
  "num_hidden_layers": 2, "intermediate_size": 24, "vocab_size": 64})";

Result<Config> Parse(const std::string& json) { return ParseConfig(json, "config.json"); }

// kBert with one member set.
std::string With(const std::string& name, const std::string& value) {
  Json json = *formats::ParseJson(kBert, "t");
  json[name] = *formats::ParseJson(value, "t");
  return formats::DumpJson(json);
}

TEST(ParseConfig, ReadsSizesAndDefaults) {
  const auto config = Parse(kBert);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->hidden_size, 16);
  EXPECT_EQ(config->vocab_size, 64);
  EXPECT_EQ(config->head_size(), 8);
  EXPECT_EQ(config->max_position_embeddings, 512);
  EXPECT_EQ(config->type_vocab_size, 2);
  EXPECT_EQ(config->layer_norm_eps, 1e-12f);
  EXPECT_EQ(config->classifier_dropout, 0.1f);
  EXPECT_TRUE(config->labels.empty());
  EXPECT_EQ(config->num_labels(), 2);
  EXPECT_EQ(config->problem_type, "");
  EXPECT_EQ(config->raw_json, kBert);
}

TEST(ParseConfig, ReadsAFileOfTransformers) {
  const auto config =
      LoadConfig(std::filesystem::path(BERTIE_TESTS_DIR) / "model/data/safetensors/config.json");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->labels, (std::vector<std::string>{"no", "yes"}));
  EXPECT_EQ(config->max_position_embeddings, 32);
  EXPECT_EQ(config->intermediate_size, 24);
}

TEST(ParseConfig, ReadsLabelsInIdOrder) {
  const auto config = Parse(With("id2label", R"({"10": "k", "2": "c", "0": "a", "1": "b", "3": "d",
      "4": "e", "5": "f", "6": "g", "7": "h", "8": "i", "9": "j"})"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->num_labels(), 11);
  EXPECT_EQ(config->labels[2], "c");
  EXPECT_EQ(config->labels[10], "k");
  // Names that are numbers, as data sets with integer classes give them; a number alone.
  EXPECT_EQ(Parse(With("id2label", R"({"0": 3, "1": -1})"))->labels,
            (std::vector<std::string>{"3", "-1"}));
  EXPECT_EQ(Parse(With("num_labels", "3"))->labels,
            (std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"}));
  EXPECT_TRUE(Parse(With("id2label", "null"))->labels.empty());
}

TEST(ParseConfig, ReadsDropouts) {
  EXPECT_EQ(Parse(With("classifier_dropout", "0.3"))->classifier_dropout, 0.3f);
  EXPECT_EQ(Parse(With("hidden_dropout_prob", "0.2"))->classifier_dropout, 0.2f);
  EXPECT_EQ(Parse(With("classifier_dropout", "null"))->classifier_dropout, 0.1f);
  EXPECT_EQ(Parse(With("hidden_dropout_prob", "0"))->hidden_dropout_prob, 0.0f);
}

TEST(ParseConfig, TakesOldFilesWithoutModelType) {
  EXPECT_TRUE(Parse(R"({"architectures": ["BertForMaskedLM"]})").ok());
  EXPECT_TRUE(Parse(R"({"architectures": ["BertModel"], "model_type": null})").ok());
  EXPECT_ERROR(
      Parse(R"({"architectures": ["RobertaModel"]})"), ErrorCode::kUnsupported,
      "config.json: architectures: found 'RobertaModel', expected a class of the Bert family");
  EXPECT_ERROR(Parse("{}"), ErrorCode::kInvalidData, "config.json: model_type: found nothing");
  EXPECT_ERROR(Parse(R"({"architectures": []})"), ErrorCode::kInvalidData,
               "model_type: found nothing");
}

struct Refused {
  const char* field;
  const char* value;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

TEST(ParseConfig, RefusesNamingTheField) {
  constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;
  for (const Refused& refused : {
           Refused{"model_type", "\"roberta\"",
                   "config.json: model_type: found 'roberta', expected 'bert'", kUnsupported},
           Refused{"model_type", "7", "model_type: found 7, expected 'bert'", kUnsupported},
           Refused{"hidden_act", "\"relu\"",
                   "hidden_act: found 'relu', expected 'gelu', the only activation", kUnsupported},
           Refused{"hidden_act", "\"gelu_new\"", "hidden_act: found 'gelu_new'", kUnsupported},
           Refused{"position_embedding_type", "\"relative_key\"",
                   "position_embedding_type: found 'relative_key', expected 'absolute'",
                   kUnsupported},
           Refused{"is_decoder", "true", "is_decoder: found true, expected false", kUnsupported},
           Refused{"add_cross_attention", "true", "add_cross_attention: found true", kUnsupported},
           Refused{"vocab_size", "0", "vocab_size: found 0, expected an integer from 1 to 4000000"},
           Refused{"vocab_size", "\"64\"", "vocab_size: found '64', expected an integer"},
           Refused{"vocab_size", "64.0", "vocab_size: found 64.0, expected an integer"},
           Refused{"vocab_size", "18446744073709551615", "found 18446744073709551615"},
           Refused{"hidden_size", "-16", "hidden_size: found -16"},
           Refused{"hidden_size", "17",
                   "hidden_size: found 17, expected a multiple of num_attention_heads, 2"},
           Refused{"hidden_size", "1000000", "hidden_size: found 1000000"},
           Refused{"hidden_size", "[16]", "hidden_size: found an array"},
           Refused{"num_hidden_layers", "1000000000",
                   "num_hidden_layers: found 1000000000, expected an integer from 1 to 256"},
           Refused{"num_attention_heads", "0", "num_attention_heads: found 0"},
           Refused{"intermediate_size", "1e99", "intermediate_size: found 1e+99"},
           Refused{"max_position_embeddings", "true", "max_position_embeddings: found true"},
           Refused{"type_vocab_size", "0", "type_vocab_size: found 0"},
           Refused{"layer_norm_eps", "-1e-12", "layer_norm_eps: found -1e-12, expected a number"},
           Refused{"layer_norm_eps", "\"1e-12\"", "layer_norm_eps: found '1e-12'"},
           Refused{"hidden_dropout_prob", "1", "hidden_dropout_prob: found 1"},
           Refused{"attention_probs_dropout_prob", "1.5",
                   "attention_probs_dropout_prob: found 1.5"},
           Refused{"classifier_dropout", "2", "classifier_dropout: found 2"},
           Refused{"pad_token_id", "64",
                   "pad_token_id: found 64, expected an integer from 0 to 63"},
           Refused{"id2label", "[]", "id2label: found an array"},
           Refused{"id2label", "{}", "id2label: found 0 labels"},
           Refused{"id2label", R"({"0": "a", "2": "c"})",
                   "id2label: found the id '2', expected each of 0 to 1 once"},
           Refused{"id2label", R"({"0": "a", "00": "b"})", "id2label: found the id"},
           Refused{"id2label", R"({"0": "a", "-1": "b"})", "id2label: found the id '-1'"},
           Refused{"id2label", R"({"0": "a", "one": "b"})", "id2label: found the id 'one'"},
           Refused{"id2label", R"({"0": null})", "id2label: found null for id 0"},
           Refused{"num_labels", "0", "num_labels: found 0"},
           Refused{"problem_type", "\"ranking\"", "problem_type: found 'ranking', expected single"},
       }) {
    SCOPED_TRACE(refused.field);
    EXPECT_ERROR(Parse(With(refused.field, refused.value)), refused.code, refused.message);
  }
}

TEST(ParseConfig, RefusesWhatIsNoObject) {
  EXPECT_ERROR(Parse("[]"), ErrorCode::kInvalidData, "config.json: found an array");
  EXPECT_ERROR(Parse("{"), ErrorCode::kInvalidData, "config.json:1:");
  EXPECT_ERROR(LoadConfig("/nowhere/config.json"), ErrorCode::kNotFound, "/nowhere/config.json");
}

TEST(ConfigToJson, ReadsBackAsItWas) {
  Config config = *Parse(With("hidden_dropout_prob", "0.3"));
  config.labels = {"no", "yes", "perhaps"};
  config.problem_type = "single_label_classification";
  config.classifier_dropout = 0.25f;
  config.pad_token_id = 3;
  const auto again = Parse(ConfigToJson(config));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->labels, config.labels);
  EXPECT_EQ(again->problem_type, config.problem_type);
  EXPECT_EQ(again->hidden_size, config.hidden_size);
  EXPECT_EQ(again->layer_norm_eps, config.layer_norm_eps);
  EXPECT_EQ(again->hidden_dropout_prob, config.hidden_dropout_prob);
  EXPECT_EQ(again->classifier_dropout, config.classifier_dropout);
  EXPECT_EQ(again->pad_token_id, 3);
  EXPECT_EQ(ConfigToJson(*again), ConfigToJson(config)) << "a save of what was saved is the same";
}

TEST(ConfigToJson, WritesWhatTransformersReads) {
  Config config = *Parse(With("my_own_key", R"({"kept": [1, 2]})"));
  config.labels = {"no", "yes"};
  const Json json = *formats::ParseJson(ConfigToJson(config), "t");
  EXPECT_EQ(json["architectures"], Json({"BertForSequenceClassification"}));
  EXPECT_EQ(json["model_type"], "bert");
  EXPECT_EQ(json["torch_dtype"], "float32");
  EXPECT_EQ(json["id2label"], Json({{"0", "no"}, {"1", "yes"}}));
  EXPECT_EQ(json["label2id"], Json({{"no", 0}, {"yes", 1}}));
  EXPECT_EQ(json["my_own_key"], Json({{"kept", {1, 2}}})) << "keys bertie does not know survive";
  EXPECT_EQ(json["hidden_dropout_prob"], 0.1) << "and not 0.10000000149";
  EXPECT_FALSE(json.contains("problem_type"));
  EXPECT_TRUE(Parse(ConfigToJson(Config{})).ok()) << "a config made here has no raw_json";
}

}  // namespace
}  // namespace bertie::model
