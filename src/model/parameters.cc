#include "model/parameters.h"

namespace bertie::model {

std::string LayerName(int64_t layer) { return "bert.encoder.layer." + std::to_string(layer) + "."; }

std::vector<ParameterSpec> ParameterSpecs(const Config& config) {
  const int64_t h = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  std::vector<ParameterSpec> specs;
  auto add = [&](const std::string& name, Shape shape) { specs.push_back({name, shape}); };
  auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  auto norm = [&](const std::string& name) {
    add(name + ".LayerNorm.weight", {h});
    add(name + ".LayerNorm.bias", {h});
  };
  add("bert.embeddings.word_embeddings.weight", {config.vocab_size, h});
  add("bert.embeddings.position_embeddings.weight", {config.max_position_embeddings, h});
  add("bert.embeddings.token_type_embeddings.weight", {config.type_vocab_size, h});
  norm("bert.embeddings");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string layer = LayerName(i);
    linear(layer + "attention.self.query", h, h);
    linear(layer + "attention.self.key", h, h);
    linear(layer + "attention.self.value", h, h);
    linear(layer + "attention.output.dense", h, h);
    norm(layer + "attention.output");
    linear(layer + "intermediate.dense", inner, h);
    linear(layer + "output.dense", h, inner);
    norm(layer + "output");
  }
  linear("bert.pooler.dense", h, h);
  linear("classifier", config.num_labels(), h);
  return specs;
}

bool IsNoDecay(const std::string& name) {
  return name.ends_with(".bias") || name.ends_with("LayerNorm.weight");
}

}  // namespace bertie::model
