#include "model/classifier.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>

#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/layer_norm.h"
#include "kernels/matmul.h"
#include "tensor/buffer.h"

namespace bertie::model {
namespace {

using kernels::Epilogue;
using kernels::MatMulOptions;

// Activations of one call, in the order of their first use.
struct Workspace {
  Buffer hidden, qkv, context, normed, inner, cls, query, pooled;
  Buffer attention;
  kernels::MatMulScratch matmul;
  std::vector<int32_t> cls_offsets;
};

// Queries, keys and values that come from rounded weights are no more exact than bf16.
bool RoundsAttention(const LayerWeights& layer) {
  return layer.qkv.weight.type() != kernels::WeightType::kF32;
}

}  // namespace

struct Classifier::Impl {
  explicit Impl(ClassifierWeights given) : weights(std::move(given)), config(weights.config) {}

  const ClassifierWeights weights;
  const Config& config;

  // Workspaces that no call uses now; guarded by mutex.
  std::mutex mutex;
  std::vector<std::unique_ptr<Workspace>> idle;

  std::unique_ptr<Workspace> TakeWorkspace() {
    std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<Workspace>();
    auto workspace = std::move(idle.back());
    idle.pop_back();
    return workspace;
  }

  void GiveBack(std::unique_ptr<Workspace> workspace) {
    std::lock_guard lock(mutex);
    idle.push_back(std::move(workspace));
  }

  void RunWith(const PackedBatch& batch, const std::function<ThreadPool&()>& threads,
               float* logits) {
    auto workspace = TakeWorkspace();
    Run(batch, threads, *workspace, logits);
    GiveBack(std::move(workspace));
  }

  void Run(const PackedBatch& batch, const std::function<ThreadPool&()>& threads, Workspace& w,
           float* logits) const;
  void EmbedTokens(const PackedBatch& batch, ThreadPool& pool, Workspace& w) const;
  void RunLayer(const LayerWeights& layer, const PackedBatch& batch, ThreadPool& pool,
                Workspace& w) const;
  void RunLastLayer(const LayerWeights& layer, const PackedBatch& batch, ThreadPool& pool,
                    Workspace& w) const;
  // Everything in a layer behind attention: w.context and residual in, out out, `rows` rows.
  void FeedForward(const LayerWeights& layer, int64_t rows, const float* residual, float* out,
                   ThreadPool& pool, Workspace& w) const;

  void Apply(const Linear& linear, const float* x, int64_t rows, float* y, Epilogue epilogue,
             const float* residual, ThreadPool& pool, Workspace& w) const {
    const int64_t in = linear.weight.depth();
    const int64_t out = linear.weight.columns();
    MatMulOptions options{epilogue, linear.bias.data(), residual, out, false};
    kernels::MatMul(kernels::RowMajor(x, rows, in), linear.weight, y, out, options, w.matmul, pool);
  }

  void Normalise(const Norm& norm, int64_t rows, float* x, ThreadPool& pool) const {
    kernels::LayerNormInput input;
    input.rows = rows;
    input.columns = config.hidden_size;
    input.x = x;
    input.gamma = norm.gamma.data();
    input.beta = norm.beta.data();
    input.eps = config.layer_norm_eps;
    kernels::LayerNorm(input, x, nullptr, nullptr, pool);
  }
};

void Classifier::Impl::EmbedTokens(const PackedBatch& batch, ThreadPool& pool, Workspace& w) const {
  w.hidden.Resize(batch.tokens() * config.hidden_size);
  kernels::Embed({batch.token_ids.data(), batch.type_ids.data(),
                  batch.cumulative_seq_lengths.data(), batch.size(), config.hidden_size},
                 {weights.word.rows(), weights.position.data(), weights.type.data()},
                 w.hidden.data(), pool);
  Normalise(weights.embedding_norm, batch.tokens(), w.hidden.data(), pool);
}

void Classifier::Impl::FeedForward(const LayerWeights& layer, int64_t rows, const float* residual,
                                   float* out, ThreadPool& pool, Workspace& w) const {
  float* normed = w.normed.Resize(rows * config.hidden_size);
  float* inner = w.inner.Resize(rows * config.intermediate_size);
  Apply(layer.attention_output, w.context.data(), rows, normed, Epilogue::kBiasResidual, residual,
        pool, w);
  Normalise(layer.attention_norm, rows, normed, pool);
  const bool rounded = layer.output.weight.type() != kernels::WeightType::kF32;
  Apply(layer.intermediate, normed, rows, inner,
        rounded ? Epilogue::kBiasGeluRounded : Epilogue::kBiasGelu, nullptr, pool, w);
  Apply(layer.output, inner, rows, out, Epilogue::kBiasResidual, normed, pool, w);
  Normalise(layer.output_norm, rows, out, pool);
}

void Classifier::Impl::RunLayer(const LayerWeights& layer, const PackedBatch& batch,
                                ThreadPool& pool, Workspace& w) const {
  const int64_t h = config.hidden_size;
  const int64_t tokens = batch.tokens();
  float* qkv = w.qkv.Resize(tokens * 3 * h);
  float* context = w.context.Resize(tokens * h);
  Apply(layer.qkv, w.hidden.data(), tokens, qkv, Epilogue::kBias, nullptr, pool, w);
  const int32_t* offsets = batch.cumulative_seq_lengths.data();
  kernels::Attention({qkv,
                      qkv + h,
                      qkv + 2 * h,
                      3 * h,
                      3 * h,
                      offsets,
                      offsets,
                      batch.size(),
                      config.num_attention_heads,
                      config.head_size(),
                      {},
                      RoundsAttention(layer)},
                     context, h, w.attention, pool);
  FeedForward(layer, tokens, w.hidden.data(), w.hidden.data(), pool, w);
}

void Classifier::Impl::RunLastLayer(const LayerWeights& layer, const PackedBatch& batch,
                                    ThreadPool& pool, Workspace& w) const {
  // The pooler reads the first token of each sentence alone: all others are needed as keys and
  // values only.
  const int64_t h = config.hidden_size;
  const int64_t tokens = batch.tokens();
  const int64_t rows = batch.size();
  float* kv = w.qkv.Resize(tokens * 2 * h);
  float* query = w.query.Resize(rows * h);
  float* cls = w.cls.Resize(rows * h);
  float* context = w.context.Resize(rows * h);
  const int32_t* offsets = batch.cumulative_seq_lengths.data();
  w.cls_offsets.resize(static_cast<size_t>(rows) + 1);
  for (int64_t i = 0; i <= rows; ++i)
    w.cls_offsets[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(cls + i * h, w.hidden.data() + offsets[i] * h,
                static_cast<size_t>(h) * sizeof(float));
  }
  Apply(layer.q, cls, rows, query, Epilogue::kBias, nullptr, pool, w);
  Apply(layer.qkv, w.hidden.data(), tokens, kv, Epilogue::kBias, nullptr, pool, w);
  kernels::Attention({query,
                      kv,
                      kv + h,
                      h,
                      2 * h,
                      w.cls_offsets.data(),
                      offsets,
                      rows,
                      config.num_attention_heads,
                      config.head_size(),
                      {},
                      RoundsAttention(layer)},
                     context, h, w.attention, pool);
  FeedForward(layer, rows, cls, cls, pool, w);
}

void Classifier::Impl::Run(const PackedBatch& batch, const std::function<ThreadPool&()>& threads,
                           Workspace& w, float* logits) const {
  ThreadPool* pool = &threads();
  EmbedTokens(batch, *pool, w);
  const auto& layers = weights.layers;
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    RunLayer(layers[i], batch, *pool, w);
    pool = &threads();
  }
  RunLastLayer(layers.back(), batch, *pool, w);
  const int64_t rows = batch.size();
  float* pooled = w.pooled.Resize(rows * config.hidden_size);
  Apply(weights.pooler, w.cls.data(), rows, pooled, Epilogue::kBias, nullptr, *pool, w);
  for (int64_t i = 0; i < rows * config.hidden_size; ++i) pooled[i] = std::tanh(pooled[i]);
  Apply(weights.classifier, pooled, rows, logits, Epilogue::kBias, nullptr, *pool, w);
}

Classifier::Classifier(Classifier&&) noexcept = default;
Classifier& Classifier::operator=(Classifier&&) noexcept = default;
Classifier::~Classifier() = default;

const Config& Classifier::config() const { return impl_->config; }

Classifier::Classifier(ClassifierWeights weights)
    : impl_(std::make_unique<Impl>(std::move(weights))) {}

Result<Classifier> Classifier::Create(const Checkpoint& checkpoint, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(ClassifierWeights weights, PackWeights(checkpoint, {}, pool));
  return Classifier(std::move(weights));
}

Result<std::vector<float>> Classifier::Forward(const PackedBatch& batch, ThreadPool& pool) const {
  BERTIE_RETURN_IF_ERROR(CheckBatch(batch, impl_->config));
  const int64_t labels = impl_->config.num_labels();
  std::vector<float> logits(static_cast<size_t>(batch.size() * labels));
  if (batch.size() == 0) return logits;
  const std::vector<BatchShare> shares = ShareOut(batch, pool.size());
  if (shares.empty()) {
    impl_->RunWith(
        batch, [&]() -> ThreadPool& { return pool; }, logits.data());
    return logits;
  }
  pool.ParallelFor(static_cast<int64_t>(shares.size()), [&](int64_t i, int) {
    const BatchShare& share = shares[static_cast<size_t>(i)];
    ThreadPool alone(1);
    std::vector<float> part(share.sentences.size() * static_cast<size_t>(labels));
    impl_->RunWith(
        share.batch, [&]() -> ThreadPool& { return alone; }, part.data());
    for (size_t j = 0; j < share.sentences.size(); ++j) {
      std::copy_n(part.data() + static_cast<int64_t>(j) * labels, labels,
                  logits.data() + share.sentences[j] * labels);
    }
  });
  return logits;
}

Result<std::vector<float>> Classifier::Forward(const PackedBatch& batch,
                                               const std::function<ThreadPool&()>& threads) const {
  BERTIE_RETURN_IF_ERROR(CheckBatch(batch, impl_->config));
  std::vector<float> logits(static_cast<size_t>(batch.size() * impl_->config.num_labels()));
  if (batch.size() > 0) impl_->RunWith(batch, threads, logits.data());
  return logits;
}

}  // namespace bertie::model
