#include "model/trainable_classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/target_losses.h"
#include "model/adapters.h"
#include "model/problem.h"
#include "model/training_layer.h"

namespace bertie::model {
namespace {

// Dropout places beyond those of the layers.
constexpr uint64_t kEmbeddingPlace = 0;
constexpr uint64_t kPooledPlace = ~uint64_t{0};

Error WrongCount(size_t found, const char* what, int64_t expected) {
  return {ErrorCode::kInvalidArgument,
          "found " + std::to_string(found) + " " + what + ", expected " + std::to_string(expected)};
}

// Whether the pass has what the configuration's problem asks for.
Status CheckAnswers(const TrainingPass& pass, const Config& config) {
  const int64_t sentences = pass.batch->size(), labels = config.num_labels();
  if (ProblemOf(config) == ProblemType::kSingleLabel) {
    if (static_cast<int64_t>(pass.labels.size()) != sentences) {
      return WrongCount(pass.labels.size(), "labels", sentences);
    }
    for (int32_t label : pass.labels) {
      if (label >= 0 && label < labels) continue;
      return Error{
          ErrorCode::kInvalidArgument,
          "label " + std::to_string(label) + ", expected 0 to " + std::to_string(labels - 1)};
    }
  } else if (static_cast<int64_t>(pass.targets.size()) != sentences * labels) {
    return WrongCount(pass.targets.size(), "targets", sentences * labels);
  }
  if (pass.class_weights.empty()) return {};
  if (ProblemOf(config) == ProblemType::kRegression) {
    return WrongCount(pass.class_weights.size(), "class weights in a regression", 0);
  }
  if (static_cast<int64_t>(pass.class_weights.size()) == labels) return {};
  return Error{ErrorCode::kInvalidArgument, "found " + std::to_string(pass.class_weights.size()) +
                                                " class weights, expected one for each of " +
                                                std::to_string(labels) + " labels"};
}

// TrainingResult::loss_sum, and its gradient.
double Loss(const TrainingPass& pass, const Config& config, const float* logits, float* d_logits) {
  const int64_t labels = config.num_labels();
  const kernels::TargetLoss loss{logits, pass.targets, labels, pass.gradient_scale, d_logits};
  switch (ProblemOf(config)) {
    case ProblemType::kMultiLabel:
      return kernels::BinaryCrossEntropy(loss, pass.class_weights);
    case ProblemType::kRegression:
      return kernels::SquaredError(loss);
    case ProblemType::kSingleLabel:
      break;
  }
  return kernels::CrossEntropy(logits, pass.labels, labels, pass.gradient_scale, d_logits,
                               pass.class_weights);
}

}  // namespace

struct TrainableClassifier::Impl {
  explicit Impl(ParameterStore store) : parameters(std::move(store)) {}

  Config config;
  ParameterStore parameters;
  std::vector<LayerRef> layers;
  NormRef embedding_norm;
  LinearRef pooler;
  LinearRef classifier;

  // Activations of the current pass; outputs of layers by turns.
  Buffer embedding_sum, embedding_mean, embedding_inverse, embedded;
  std::vector<LayerActivations> activations;
  Buffer outputs[2];
  const float* top = nullptr;  // the last layer's output, [sentences, hidden]
  Buffer pooled, dropped;
  std::vector<int32_t> cls_offsets;
  // Gradients of the current pass.
  Buffer gradient, d_pooled;
  std::vector<float> d_logits;
  LayerGradients layer_gradients;
  Buffer scratch;
  kernels::MatMulScratch matmul;
  Buffer rounded_x, rounded_dy;
  LayerInputs shared_inputs;

  LinearRef Linear(const std::string& name, int64_t out, int64_t in) {
    const int64_t w = parameters.offset(name + ".weight");
    const int64_t b = parameters.offset(name + ".bias");
    const float* values = parameters.values();
    LinearRef linear{values + w, values + b, nullptr, nullptr, out, in, nullptr};
    if (parameters.rounded() != nullptr) linear.rounded = parameters.rounded() + w;
    if (Trains(w)) {
      linear.d_weight = parameters.gradients() + w;
      linear.d_bias = parameters.gradients() + b;
    }
    return linear;
  }

  LoraRef Lora(const std::string& linear) {
    const LoraOptions& options = parameters.tuning().lora;
    const int64_t a = parameters.offset(LoraName(linear, 'A'));
    const int64_t b = parameters.offset(LoraName(linear, 'B'));
    return {parameters.values() + a,
            parameters.values() + b,
            parameters.gradients() + a,
            parameters.gradients() + b,
            options.rank,
            config.hidden_size,
            config.hidden_size,
            static_cast<float>(options.alpha / static_cast<double>(options.rank))};
  }

  NormRef Norm(const std::string& name) {
    const int64_t g = parameters.offset(name + ".LayerNorm.weight");
    const int64_t b = parameters.offset(name + ".LayerNorm.bias");
    NormRef norm{parameters.values() + g, parameters.values() + b, nullptr, nullptr};
    if (Trains(g)) {
      norm.d_gamma = parameters.gradients() + g;
      norm.d_beta = parameters.gradients() + b;
    }
    return norm;
  }

  bool Trains(int64_t offset) const { return offset >= parameters.frozen_size(); }
  size_t frozen_layers() const {
    return static_cast<size_t>(parameters.tuning().freeze_layers.value_or(0));
  }
  LayerPlace PlaceOf(size_t layer) const {
    return {static_cast<int64_t>(layer), layer + 1 == layers.size(),
            parameters.trains_words() || layer > frozen_layers()};
  }

  // Whether the backward pass needs inputs of products in fp32.
  bool keeps_inputs() {
    return parameters.rounded() == nullptr || parameters.tuning().lora.rank > 0;
  }

  void MakeRefs();
  kernels::EmbeddingInput Embedding(const PackedBatch& batch) const {
    return {batch.token_ids.data(), batch.type_ids.data(), batch.cumulative_seq_lengths.data(),
            batch.size(), config.hidden_size};
  }
  template <class Float>
  Float* Table(const char* name, Float* base) const {
    return base + parameters.offset(std::string("bert.embeddings.") + name + "_embeddings.weight");
  }
  void EmbedForward(const PackedBatch& batch, const LayerContext& context);
  void EmbedBackward(const PackedBatch& batch, const LayerContext& context);
  const float* FrozenForward(const PackedBatch& batch, const LayerContext& context);
  void Forward(const float* x, float* logits, const LayerContext& context);
  LayerContext ContextOf(const PackedBatch& batch, ThreadPool& pool);
  void Backward(const PackedBatch& batch, const LayerContext& context,
                const std::function<void(int64_t)>& on_gradients);
};

void TrainableClassifier::Impl::MakeRefs() {
  const int64_t h = config.hidden_size;
  embedding_norm = Norm("bert.embeddings");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string name = "bert.encoder.layer." + std::to_string(i);
    LayerRef layer;
    layer.qkv = Linear(name + ".attention.self.query", 3 * h, h);
    if (parameters.tuning().lora.rank > 0 && static_cast<size_t>(i) >= frozen_layers()) {
      layer.query_lora = Lora(name + ".attention.self.query");
      layer.value_lora = Lora(name + ".attention.self.value");
    }
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
  const float* values = std::as_const(parameters).values();
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
  kernels::ApplyDropout(context.DropoutAt(context.config->hidden_dropout_prob, kEmbeddingPlace),
                        count, embedded.data(), *context.pool);
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

// The embeddings and the frozen layers; their output is what the rest starts from.
const float* TrainableClassifier::Impl::FrozenForward(const PackedBatch& batch,
                                                      const LayerContext& context) {
  if (frozen_layers() == 0) {
    EmbedForward(batch, context);
    return embedded.data();
  }
  // No dropout, and no activations kept from one layer to the next but the output, by turns.
  Config without = config;
  without.hidden_dropout_prob = without.attention_probs_dropout_prob = 0;
  LayerContext still = context;
  still.config = &without;
  EmbedForward(batch, still);
  const float* x = embedded.data();
  for (size_t i = 0; i < frozen_layers(); ++i) {
    LayerActivations& turn = activations[i % 2];
    float* output = turn.output.Resize(context.tokens * config.hidden_size);
    LayerForward(layers[i], PlaceOf(i), x, output, turn, still);
    x = output;
  }
  return x;
}

// From the output of the frozen part to the logits.
void TrainableClassifier::Impl::Forward(const float* x, float* logits,
                                        const LayerContext& context) {
  for (size_t i = frozen_layers(); i < layers.size(); ++i) {
    Buffer& memory = keeps_inputs() ? activations[i].output : outputs[i % 2];
    float* output = memory.Resize(context.tokens * config.hidden_size);
    LayerForward(layers[i], PlaceOf(i), x, output, activations[i], context);
    x = output;
  }
  top = x;
  const int64_t count = context.sentences * config.hidden_size;
  float* p = pooled.Resize(count);
  LinearForward(pooler, {x}, context.sentences, p, context);
  for (int64_t i = 0; i < count; ++i) p[i] = std::tanh(p[i]);
  std::copy(p, p + count, dropped.Resize(count));
  kernels::ApplyDropout(context.DropoutAt(config.classifier_dropout, kPooledPlace), count,
                        dropped.data(), *context.pool);
  LinearForward(classifier, {dropped.data()}, context.sentences, logits, context);
}

void TrainableClassifier::Impl::Backward(const PackedBatch& batch, const LayerContext& context,
                                         const std::function<void(int64_t)>& on_gradients) {
  const int64_t h = config.hidden_size;
  const int64_t count = context.sentences * h;
  float* d = d_pooled.Resize(count);
  LinearBackward(classifier, {dropped.data()}, d_logits.data(), context.sentences, d, false,
                 context);
  kernels::ApplyDropout(context.DropoutAt(config.classifier_dropout, kPooledPlace), count, d,
                        *context.pool);
  const float* p = pooled.data();
  for (int64_t i = 0; i < count; ++i) d[i] *= 1.0f - p[i] * p[i];
  // Wide enough for all tokens' rows, which the layers below the last one need.
  float* g = gradient.Resize(context.tokens * h);
  LinearBackward(pooler, {top}, d, context.sentences, g, false, context);
  // Adapters lie behind everything else, so that nothing at the end is final before the first
  // layer is done.
  const bool in_order = parameters.tuning().lora.rank == 0;
  for (size_t i = layers.size(); i-- > frozen_layers();) {
    LayerBackward(layers[i], PlaceOf(i), activations[i], layer_gradients, g, context);
    // A layer's parameters lie end to end, its query weights first, and the layers one after the
    // other, the pooler and the classifier behind them.
    if (on_gradients && in_order) on_gradients(layers[i].qkv.d_weight - parameters.gradients());
  }
  if (parameters.trains_words()) EmbedBackward(batch, context);
}

TrainableClassifier::TrainableClassifier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TrainableClassifier::TrainableClassifier(TrainableClassifier&&) noexcept = default;
TrainableClassifier& TrainableClassifier::operator=(TrainableClassifier&&) noexcept = default;
TrainableClassifier::~TrainableClassifier() = default;

const Config& TrainableClassifier::config() const { return impl_->config; }
ParameterStore& TrainableClassifier::parameters() { return impl_->parameters; }

bool TrainableClassifier::has_frozen_layers() const { return impl_->frozen_layers() > 0; }

int64_t TrainableClassifier::FrozenRows(int64_t tokens) const {
  return impl_->frozen_layers() == impl_->layers.size() ? 1 : tokens;
}

Result<TrainableClassifier> TrainableClassifier::Create(const Checkpoint& checkpoint,
                                                        const TuningOptions& tuning) {
  const int64_t layers = checkpoint.config.num_hidden_layers;
  if (tuning.freeze_layers.value_or(0) > layers) {
    return Error{ErrorCode::kInvalidArgument, std::to_string(*tuning.freeze_layers) +
                                                  " layers to freeze, but the model has " +
                                                  std::to_string(layers)};
  }
  BERTIE_ASSIGN_OR_RETURN(ParameterStore store, ParameterStore::Create(checkpoint, tuning));
  auto impl = std::make_unique<Impl>(std::move(store));
  impl->config = checkpoint.config;
  impl->MakeRefs();
  return TrainableClassifier(std::move(impl));
}

LayerContext TrainableClassifier::Impl::ContextOf(const PackedBatch& batch, ThreadPool& pool) {
  cls_offsets.resize(static_cast<size_t>(batch.size()) + 1);
  std::iota(cls_offsets.begin(), cls_offsets.end(), 0);
  parameters.RoundValues(pool);
  LayerContext context;
  context.config = &config;
  context.offsets = batch.cumulative_seq_lengths.data();
  context.cls_offsets = cls_offsets.data();
  context.sentences = batch.size();
  context.tokens = batch.tokens();
  context.pool = &pool;
  context.matmul = &matmul;
  context.rounded_x = &rounded_x;
  context.rounded_dy = &rounded_dy;
  if (!keeps_inputs()) context.shared = &shared_inputs;
  context.scratch = &scratch;
  return context;
}

Result<const float*> TrainableClassifier::RunFrozen(const PackedBatch& batch, ThreadPool& pool) {
  BERTIE_RETURN_IF_ERROR(CheckBatch(batch, impl_->config));
  return impl_->FrozenForward(batch, impl_->ContextOf(batch, pool));
}

Result<TrainingResult> TrainableClassifier::Accumulate(const TrainingPass& pass, ThreadPool& pool) {
  const PackedBatch& batch = *pass.batch;
  const Config& config = impl_->config;
  BERTIE_RETURN_IF_ERROR(CheckBatch(batch, config));
  BERTIE_RETURN_IF_ERROR(CheckAnswers(pass, config));
  TrainingResult result;
  if (batch.size() == 0) return result;
  LayerContext context = impl_->ContextOf(batch, pool);
  context.dropout_seed = pass.dropout_seed;
  context.step = pass.step;
  const auto logit_count = static_cast<size_t>(batch.size() * config.num_labels());
  result.logits.resize(logit_count);
  impl_->d_logits.resize(logit_count);
  const float* x =
      pass.frozen_output != nullptr ? pass.frozen_output : impl_->FrozenForward(batch, context);
  impl_->Forward(x, result.logits.data(), context);
  result.loss_sum = Loss(pass, config, result.logits.data(), impl_->d_logits.data());
  impl_->Backward(batch, context, pass.on_gradients);
  return result;
}

}  // namespace bertie::model
