#include "model/trainable_classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "model/training_layer.h"

namespace bertie::model {
namespace {

// Dropout places beyond those of the layers.
constexpr uint64_t kEmbeddingPlace = 0;
constexpr uint64_t kPooledPlace = ~uint64_t{0};

}  // namespace

struct TrainableClassifier::Impl {
  explicit Impl(ParameterStore store) : parameters(std::move(store)) {}

  Config config;
  ParameterStore parameters;
  std::vector<LayerRef> layers;
  NormRef embedding_norm;
  LinearRef pooler;
  LinearRef classifier;

  // Activations of the current pass.
  Buffer embedding_sum, embedding_mean, embedding_inverse, embedded;
  std::vector<LayerActivations> activations;
  Buffer pooled, dropped;
  std::vector<int32_t> cls_offsets;
  // Gradients of the current pass.
  Buffer gradient, d_pooled;
  std::vector<float> d_logits;
  LayerGradients layer_gradients;
  Buffer scratch;
  kernels::MatMulScratch matmul;

  LinearRef Linear(const std::string& name, int64_t out, int64_t in) {
    const int64_t w = parameters.offset(name + ".weight");
    const int64_t b = parameters.offset(name + ".bias");
    return {parameters.values() + w,
            parameters.values() + b,
            parameters.gradients() + w,
            parameters.gradients() + b,
            out,
            in};
  }

  NormRef Norm(const std::string& name) {
    const int64_t g = parameters.offset(name + ".LayerNorm.weight");
    const int64_t b = parameters.offset(name + ".LayerNorm.bias");
    return {parameters.values() + g, parameters.values() + b, parameters.gradients() + g,
            parameters.gradients() + b};
  }

  void MakeRefs();
  kernels::EmbeddingInput Embedding(const PackedBatch& batch) const {
    return {batch.token_ids.data(), batch.type_ids.data(), batch.cumulative_seq_lengths.data(),
            batch.size(), config.hidden_size};
  }
  float* Table(const char* name, float* base) const {
    return base + parameters.offset(std::string("bert.embeddings.") + name + "_embeddings.weight");
  }
  void EmbedForward(const PackedBatch& batch, const LayerContext& context);
  void EmbedBackward(const PackedBatch& batch, const LayerContext& context);
  void Forward(const PackedBatch& batch, float* logits, const LayerContext& context);
  void Backward(const PackedBatch& batch, const LayerContext& context);
};

void TrainableClassifier::Impl::MakeRefs() {
  const int64_t h = config.hidden_size;
  embedding_norm = Norm("bert.embeddings");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string name = "bert.encoder.layer." + std::to_string(i);
    LayerRef layer;
    layer.qkv = Linear(name + ".attention.self.query", 3 * h, h);
    layer.attention_output = Linear(name + ".attention.output.dense", h, h);
    layer.attention_norm = Norm(name + ".attention.output");
    layer.intermediate = Linear(name + ".intermediate.dense", config.intermediate_size, h);
    layer.output = Linear(name + ".output.dense", h, config.intermediate_size);
    layer.output_norm = Norm(name + ".output");
    layers.push_back(layer);
  }
  pooler = Linear("bert.pooler.dense", h, h);
  classifier = Linear("classifier", config.num_labels(), h);
  activations.resize(layers.size());
}

void TrainableClassifier::Impl::EmbedForward(const PackedBatch& batch,
                                             const LayerContext& context) {
  const int64_t count = context.tokens * config.hidden_size;
  float* values = parameters.values();
  kernels::Embed(Embedding(batch),
                 {{Table("word", values)}, Table("position", values), Table("token_type", values)},
                 embedding_sum.Resize(count), *context.pool);
  kernels::LayerNormInput input;
  input.rows = context.tokens;
  input.columns = config.hidden_size;
  input.x = embedding_sum.data();
  input.gamma = embedding_norm.gamma;
  input.beta = embedding_norm.beta;
  input.eps = config.layer_norm_eps;
  kernels::LayerNorm(input, embedded.Resize(count), embedding_mean.Resize(context.tokens),
                     embedding_inverse.Resize(context.tokens), *context.pool);
  kernels::ApplyDropout(context.DropoutAt(config.hidden_dropout_prob, kEmbeddingPlace), count,
                        embedded.data(), *context.pool);
}

void TrainableClassifier::Impl::EmbedBackward(const PackedBatch& batch,
                                              const LayerContext& context) {
  float* g = gradient.data();
  kernels::ApplyDropout(context.DropoutAt(config.hidden_dropout_prob, kEmbeddingPlace),
                        context.tokens * config.hidden_size, g, *context.pool);
  kernels::LayerNormBackward(
      context.tokens, config.hidden_size,
      {g, embedding_sum.data(), embedding_mean.data(), embedding_inverse.data(),
       embedding_norm.gamma, g, embedding_norm.d_gamma, embedding_norm.d_beta},
      scratch, *context.pool);
  parameters.TouchRows(batch.token_ids);
  float* d = parameters.gradients();
  kernels::EmbedBackward(Embedding(batch), g,
                         {Table("word", d), Table("position", d), Table("token_type", d)},
                         *context.pool);
}

void TrainableClassifier::Impl::Forward(const PackedBatch& batch, float* logits,
                                        const LayerContext& context) {
  EmbedForward(batch, context);
  const float* x = embedded.data();
  for (size_t i = 0; i < layers.size(); ++i) {
    LayerForward(layers[i], static_cast<int64_t>(i), i + 1 == layers.size(), x, activations[i],
                 context);
    x = activations[i].output.data();
  }
  const int64_t count = context.sentences * config.hidden_size;
  float* p = pooled.Resize(count);
  LinearForward(pooler, x, context.sentences, p, context);
  for (int64_t i = 0; i < count; ++i) p[i] = std::tanh(p[i]);
  std::copy(p, p + count, dropped.Resize(count));
  kernels::ApplyDropout(context.DropoutAt(config.classifier_dropout, kPooledPlace), count,
                        dropped.data(), *context.pool);
  LinearForward(classifier, dropped.data(), context.sentences, logits, context);
}

void TrainableClassifier::Impl::Backward(const PackedBatch& batch, const LayerContext& context) {
  const int64_t h = config.hidden_size;
  const int64_t count = context.sentences * h;
  float* d = d_pooled.Resize(count);
  LinearBackward(classifier, dropped.data(), d_logits.data(), context.sentences, d, false, context);
  kernels::ApplyDropout(context.DropoutAt(config.classifier_dropout, kPooledPlace), count, d,
                        *context.pool);
  const float* p = pooled.data();
  for (int64_t i = 0; i < count; ++i) d[i] *= 1.0f - p[i] * p[i];
  // Wide enough for all tokens' rows, which the layers below the last one need.
  float* g = gradient.Resize(context.tokens * h);
  LinearBackward(pooler, activations.back().output.data(), d, context.sentences, g, false, context);
  for (size_t i = layers.size(); i-- > 0;) {
    LayerBackward(layers[i], static_cast<int64_t>(i), i + 1 == layers.size(), activations[i],
                  layer_gradients, g, context);
  }
  EmbedBackward(batch, context);
}

TrainableClassifier::TrainableClassifier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TrainableClassifier::TrainableClassifier(TrainableClassifier&&) noexcept = default;
TrainableClassifier& TrainableClassifier::operator=(TrainableClassifier&&) noexcept = default;
TrainableClassifier::~TrainableClassifier() = default;

const Config& TrainableClassifier::config() const { return impl_->config; }
ParameterStore& TrainableClassifier::parameters() { return impl_->parameters; }

Result<TrainableClassifier> TrainableClassifier::Create(const Checkpoint& checkpoint) {
  BERTIE_ASSIGN_OR_RETURN(ParameterStore store, ParameterStore::Create(checkpoint));
  auto impl = std::make_unique<Impl>(std::move(store));
  impl->config = checkpoint.config;
  impl->MakeRefs();
  return TrainableClassifier(std::move(impl));
}

Result<TrainingResult> TrainableClassifier::Accumulate(const TrainingPass& pass, ThreadPool& pool) {
  const PackedBatch& batch = *pass.batch;
  const Config& config = impl_->config;
  BERTIE_RETURN_IF_ERROR(CheckBatch(batch, config));
  for (int32_t label : pass.labels) {
    if (label < 0 || label >= config.num_labels()) {
      return Error{ErrorCode::kInvalidArgument, "label " + std::to_string(label) +
                                                    ", expected 0 to " +
                                                    std::to_string(config.num_labels() - 1)};
    }
  }
  TrainingResult result;
  if (batch.size() == 0) return result;
  impl_->cls_offsets.resize(static_cast<size_t>(batch.size()) + 1);
  std::iota(impl_->cls_offsets.begin(), impl_->cls_offsets.end(), 0);
  LayerContext context;
  context.config = &config;
  context.offsets = batch.cumulative_seq_lengths.data();
  context.cls_offsets = impl_->cls_offsets.data();
  context.sentences = batch.size();
  context.tokens = batch.tokens();
  context.dropout_seed = pass.dropout_seed;
  context.step = pass.step;
  context.pool = &pool;
  context.matmul = &impl_->matmul;
  context.scratch = &impl_->scratch;
  const auto logit_count = static_cast<size_t>(batch.size() * config.num_labels());
  result.logits.resize(logit_count);
  impl_->d_logits.resize(logit_count);
  impl_->Forward(batch, result.logits.data(), context);
  result.loss_sum = kernels::CrossEntropy(result.logits.data(), pass.labels, config.num_labels(),
                                          pass.gradient_scale, impl_->d_logits.data());
  impl_->Backward(batch, context);
  return result;
}

}  // namespace bertie::model
