#include "model/batch.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace bertie::model {
namespace {

Error BadId(const char* what, int64_t sentence, int32_t id, int64_t limit) {
  return {ErrorCode::kInvalidArgument, "sentence " + std::to_string(sentence) + ": " + what + " " +
                                           std::to_string(id) + ", expected 0 to " +
                                           std::to_string(limit - 1)};
}

}  // namespace

std::vector<BatchShare> ShareOut(const PackedBatch& batch, int threads) {
  // The largest share may have this part more than the mean.
  constexpr double kSlack = 0.15;
  if (threads < 2 || batch.size() < threads) return {};
  const auto& ends = batch.cumulative_seq_lengths;
  const auto length = [&](int64_t i) {
    return ends[static_cast<size_t>(i) + 1] - ends[static_cast<size_t>(i)];
  };
  // The longest first, each to the share that has least.
  std::vector<int64_t> order(static_cast<size_t>(batch.size()));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length(a) > length(b); });
  std::vector<BatchShare> shares(static_cast<size_t>(threads));
  for (const int64_t sentence : order) {
    auto least = std::min_element(shares.begin(), shares.end(), [](const auto& a, const auto& b) {
      return a.batch.tokens() < b.batch.tokens();
    });
    const auto first = static_cast<size_t>(ends[static_cast<size_t>(sentence)]);
    const auto count = static_cast<size_t>(length(sentence));
    least->batch.Add(std::span(batch.token_ids).subspan(first, count),
                     std::span(batch.type_ids).subspan(first, count));
    least->sentences.push_back(sentence);
  }
  const double mean = static_cast<double>(batch.tokens()) / threads;
  for (const BatchShare& share : shares) {
    if (static_cast<double>(share.batch.tokens()) > mean * (1 + kSlack)) return {};
  }
  return shares;
}

Status CheckBatch(const PackedBatch& batch, const Config& config) {
  for (int64_t sentence = 0; sentence < batch.size(); ++sentence) {
    const int64_t first = batch.cumulative_seq_lengths[static_cast<size_t>(sentence)];
    const int64_t last = batch.cumulative_seq_lengths[static_cast<size_t>(sentence) + 1];
    if (last <= first || last - first > config.max_position_embeddings) {
      return Error{ErrorCode::kInvalidArgument,
                   "sentence " + std::to_string(sentence) + " has " + std::to_string(last - first) +
                       " tokens, expected 1 to " + std::to_string(config.max_position_embeddings)};
    }
    for (int64_t t = first; t < last; ++t) {
      const int32_t id = batch.token_ids[static_cast<size_t>(t)];
      const int32_t type = batch.type_ids[static_cast<size_t>(t)];
      if (id < 0 || id >= config.vocab_size) {
        return BadId("token id", sentence, id, config.vocab_size);
      }
      if (type < 0 || type >= config.type_vocab_size) {
        return BadId("token type id", sentence, type, config.type_vocab_size);
      }
    }
  }
  return {};
}

}  // namespace bertie::model
