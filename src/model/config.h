// config.json of a Hugging Face BERT checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::model {

// Names and meanings are those of transformers' BertConfig.
struct Config {
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;
  float layer_norm_eps = 1e-12f;
  float initializer_range = 0.02f;
  float hidden_dropout_prob = 0.1f;
  float attention_probs_dropout_prob = 0.1f;
  // Before the classifier; config.json's classifier_dropout, or hidden_dropout_prob where that is
  // absent or null.
  float classifier_dropout = 0.1f;
  int32_t pad_token_id = 0;

  // id2label in id order; its length is the number of labels. Empty when the checkpoint names none
  // (then transformers' default of two, LABEL_0 and LABEL_1, stands).
  std::vector<std::string> labels;
  // "single_label_classification", "multi_label_classification", "regression", or "" when unset.
  std::string problem_type;
  // The parsed file as text, so that keys bertie does not read survive a save. "" when made here.
  std::string raw_json;

  int64_t num_labels() const { return labels.empty() ? 2 : static_cast<int64_t>(labels.size()); }
  int64_t head_size() const { return hidden_size / num_attention_heads; }
};

// Reads config.json's text. Refuses, naming the field, what was found and what was expected: a
// model_type other than "bert", an activation other than gelu, position embeddings other than
// absolute, sizes that are not positive, absurd (beyond what the largest BERT has by far) or do not
// divide. `where` (a file name) begins each message.
Result<Config> ParseConfig(std::string_view json, const std::string& where);
Result<Config> LoadConfig(const std::filesystem::path& file);

// config.json as transformers writes it: raw_json's keys, with ours over them (architectures
// ["BertForSequenceClassification"], id2label, label2id, problem_type, torch_dtype float32).
std::string ConfigToJson(const Config& config);

}  // namespace bertie::model
