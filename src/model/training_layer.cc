#include "model/training_layer.h"

#include <cstring>

#include "kernels/attention.h"
#include "kernels/elementwise.h"

namespace bertie::model {
namespace {

// Dropout places: 0 is the embeddings', then three for each layer.
enum Place : uint64_t { kProbabilities = 1, kAttentionOutput = 2, kOutput = 3 };

uint64_t PlaceOf(int64_t layer, Place place) { return static_cast<uint64_t>(layer) * 3 + place; }

size_t Bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

kernels::AttentionInput AttentionOf(const LayerPlace& place, const LayerActivations& a,
                                    const LayerContext& context) {
  const bool last = place.last;
  const Config& config = *context.config;
  const int64_t h = config.hidden_size;
  kernels::AttentionInput input;
  const float* kv = last ? a.qkv.data() : a.qkv.data() + h;
  input.q = last ? a.query.data() : a.qkv.data();
  input.k = kv;
  input.v = kv + h;
  input.q_stride = last ? h : 3 * h;
  input.kv_stride = last ? 2 * h : 3 * h;
  input.query_offsets = last ? context.cls_offsets : context.offsets;
  input.key_offsets = context.offsets;
  input.sentences = context.sentences;
  input.heads = config.num_attention_heads;
  input.head_size = config.head_size();
  input.dropout =
      context.DropoutAt(config.attention_probs_dropout_prob, PlaceOf(place.index, kProbabilities));
  return input;
}

// sum = dropout(sum) + residual; y = norm(sum).
void NormForward(const NormRef& norm, int64_t rows, float* sum, const float* residual,
                 const kernels::Dropout& dropout, float* y, Buffer& mean, Buffer& inverse,
                 const LayerContext& context) {
  kernels::LayerNormInput input;
  input.rows = rows;
  input.columns = context.config->hidden_size;
  input.x = sum;
  input.residual = residual;
  input.dropout = dropout;
  input.gamma = norm.gamma;
  input.beta = norm.beta;
  input.eps = context.config->layer_norm_eps;
  kernels::LayerNorm(input, y, mean.Resize(rows), inverse.Resize(rows), *context.pool);
}

void NormBackward(const NormRef& norm, int64_t rows, const Buffer& sum, const Buffer& mean,
                  const Buffer& inverse, float* gradient, const LayerContext& context) {
  kernels::LayerNormBackward(rows, context.config->hidden_size,
                             {gradient, sum.data(), mean.data(), inverse.data(), norm.gamma,
                              gradient, norm.d_gamma, norm.d_beta},
                             *context.scratch, *context.pool);
}

// Queries, keys and values.
void ProjectForward(const LayerRef& layer, bool last, LayerActivations& a,
                    const LayerContext& context) {
  const int64_t h = context.config->hidden_size;
  if (!last) {
    float* qkv = a.qkv.Resize(context.tokens * 3 * h);
    LinearForward(layer.qkv, {a.input, &a.rounded_input}, context.tokens, qkv, context);
    LoraForward(layer.query_lora, a.input, context.tokens, qkv, 3 * h, a.query_low, context);
    LoraForward(layer.value_lora, a.input, context.tokens, qkv + 2 * h, 3 * h, a.value_low,
                context);
    return;
  }
  float* cls = a.cls.Resize(a.rows * h);
  for (int64_t i = 0; i < a.rows; ++i) {
    std::memcpy(cls + i * h, a.input + context.offsets[i] * h, Bytes(h));
  }
  float* query = a.query.Resize(a.rows * h);
  LinearForward(layer.qkv.Slice(0, h), {cls}, a.rows, query, context);
  LoraForward(layer.query_lora, cls, a.rows, query, h, a.query_low, context);
  float* kv = a.qkv.Resize(context.tokens * 2 * h);
  LinearForward(layer.qkv.Slice(h, 2 * h), {a.input, &a.rounded_input}, context.tokens, kv,
                context);
  LoraForward(layer.value_lora, a.input, context.tokens, kv + h, 2 * h, a.value_low, context);
}

// `gradient` holds the gradient by the residual input, [rows, hidden]; it becomes the whole one by
// the layer's input, where that is wanted.
void ProjectBackward(const LayerRef& layer, const LayerPlace& place, LayerActivations& a,
                     LayerGradients& s, float* gradient, const LayerContext& context) {
  const int64_t h = context.config->hidden_size;
  float* dx = place.input_gradient ? gradient : nullptr;
  const float* d_qkv = s.qkv.data();
  if (!place.last) {
    LinearBackward(layer.qkv, {a.input, &a.rounded_input}, d_qkv, context.tokens, dx, true,
                   context);
    LoraBackward(layer.query_lora, a.input, {d_qkv, 3 * h, context.tokens, a.query_low.data()}, dx,
                 s.low, context);
    LoraBackward(layer.value_lora, a.input,
                 {d_qkv + 2 * h, 3 * h, context.tokens, a.value_low.data()}, dx, s.low, context);
    return;
  }
  LinearBackward(layer.qkv.Slice(0, h), {a.cls.data()}, s.query.data(), a.rows, dx, true, context);
  LoraBackward(layer.query_lora, a.cls.data(), {s.query.data(), h, a.rows, a.query_low.data()}, dx,
               s.low, context);
  // The first tokens' gradients wait in `normed` while those of all tokens are written.
  float* cls = s.normed.Resize(a.rows * h);
  std::memcpy(cls, gradient, Bytes(a.rows * h));
  LinearBackward(layer.qkv.Slice(h, 2 * h), {a.input, &a.rounded_input}, d_qkv, context.tokens, dx,
                 false, context);
  LoraBackward(layer.value_lora, a.input, {d_qkv + h, 2 * h, context.tokens, a.value_low.data()},
               dx, s.low, context);
  if (dx == nullptr) return;
  for (int64_t i = 0; i < a.rows; ++i) {
    float* row = gradient + context.offsets[i] * h;
    for (int64_t j = 0; j < h; ++j) row[j] += cls[i * h + j];
  }
}

}  // namespace

void LayerForward(const LayerRef& layer, const LayerPlace& place, const float* input, float* output,
                  LayerActivations& a, const LayerContext& context) {
  const Config& config = *context.config;
  const bool last = place.last;
  const int64_t h = config.hidden_size;
  a.input = input;
  a.rows = last ? context.sentences : context.tokens;
  ProjectForward(layer, last, a, context);
  LayerInputs& inputs = context.shared != nullptr ? *context.shared : a.inputs;
  float* attended = inputs.context.Resize(a.rows * h);
  kernels::Attention(AttentionOf(place, a, context), attended, h, *context.scratch, *context.pool);
  float* sum = a.attention_sum.Resize(a.rows * h);
  float* normed = inputs.normed.Resize(a.rows * h);
  LinearForward(layer.attention_output, {attended, &a.rounded_context}, a.rows, sum, context);
  NormForward(layer.attention_norm, a.rows, sum, last ? a.cls.data() : input,
              context.DropoutAt(config.hidden_dropout_prob, PlaceOf(place.index, kAttentionOutput)),
              normed, a.attention_mean, a.attention_inverse, context);
  const int64_t inner_count = a.rows * config.intermediate_size;
  LinearForward(layer.intermediate, {normed, &a.rounded_normed}, a.rows,
                a.inner.Resize(inner_count), context);
  float* activated = inputs.activated.Resize(inner_count);
  kernels::Gelu(inner_count, a.inner.data(), activated, *context.pool);
  LinearForward(layer.output, {activated, &a.rounded_activated}, a.rows,
                a.output_sum.Resize(a.rows * h), context);
  NormForward(layer.output_norm, a.rows, a.output_sum.data(), normed,
              context.DropoutAt(config.hidden_dropout_prob, PlaceOf(place.index, kOutput)), output,
              a.output_mean, a.output_inverse, context);
}

void LayerBackward(const LayerRef& layer, const LayerPlace& place, LayerActivations& a,
                   LayerGradients& s, float* gradient, const LayerContext& context) {
  const Config& config = *context.config;
  const bool last = place.last;
  const int64_t h = config.hidden_size;
  const int64_t inner_count = a.rows * config.intermediate_size;
  // Feed-forward: gradient -> d output_sum, whose one part goes on as the residual's, in `normed`.
  NormBackward(layer.output_norm, a.rows, a.output_sum, a.output_mean, a.output_inverse, gradient,
               context);
  float* d_normed = s.normed.Resize(a.rows * h);
  std::memcpy(d_normed, gradient, Bytes(a.rows * h));
  kernels::ApplyDropout(
      context.DropoutAt(config.hidden_dropout_prob, PlaceOf(place.index, kOutput)), a.rows * h,
      gradient, *context.pool);
  float* d_inner = s.inner.Resize(inner_count);
  LinearBackward(layer.output, {a.inputs.activated.data(), &a.rounded_activated}, gradient, a.rows,
                 d_inner, false, context);
  kernels::GeluBackward(inner_count, a.inner.data(), d_inner, d_inner, *context.pool);
  LinearBackward(layer.intermediate, {a.inputs.normed.data(), &a.rounded_normed}, d_inner, a.rows,
                 d_normed, true, context);
  // Attention: d_normed -> d attention_sum, whose one part goes on as the input's, in `gradient`.
  NormBackward(layer.attention_norm, a.rows, a.attention_sum, a.attention_mean, a.attention_inverse,
               d_normed, context);
  std::memcpy(gradient, d_normed, Bytes(a.rows * h));
  kernels::ApplyDropout(
      context.DropoutAt(config.hidden_dropout_prob, PlaceOf(place.index, kAttentionOutput)),
      a.rows * h, d_normed, *context.pool);
  float* d_context = s.context.Resize(a.rows * h);
  LinearBackward(layer.attention_output, {a.inputs.context.data(), &a.rounded_context}, d_normed,
                 a.rows, d_context, false, context);
  const kernels::AttentionInput attention = AttentionOf(place, a, context);
  float* d_qkv = s.qkv.Resize(context.tokens * (last ? 2 : 3) * h);
  float* d_query = last ? s.query.Resize(a.rows * h) : d_qkv;
  float* d_key = last ? d_qkv : d_qkv + h;
  kernels::AttentionBackward(attention, d_context, h,
                             {d_query, d_key, d_key + h, attention.q_stride, attention.kv_stride},
                             *context.scratch, *context.pool);
  ProjectBackward(layer, place, a, s, gradient, context);
}

}  // namespace bertie::model
