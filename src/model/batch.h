// Sentences laid end to end: the form in which every forward and backward pass takes its input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "model/config.h"

namespace bertie::model {

// No padding anywhere: sentence i holds the tokens [cumulative_seq_lengths[i],
// cumulative_seq_lengths[i + 1]), and its positions count from 0 there.
struct PackedBatch {
  std::vector<int32_t> token_ids;
  std::vector<int32_t> type_ids;
  std::vector<int32_t> cumulative_seq_lengths = {0};

  int64_t size() const { return static_cast<int64_t>(cumulative_seq_lengths.size()) - 1; }
  int64_t tokens() const { return static_cast<int64_t>(token_ids.size()); }

  // Appends one sentence; both spans have the same length, at least 1.
  void Add(std::span<const int32_t> ids, std::span<const int32_t> types) {
    token_ids.insert(token_ids.end(), ids.begin(), ids.end());
    type_ids.insert(type_ids.end(), types.begin(), types.end());
    cumulative_seq_lengths.push_back(static_cast<int32_t>(token_ids.size()));
  }

  // Appends a sentence of another batch.
  void AddFrom(const PackedBatch& other, int64_t sentence) {
    const auto i = static_cast<size_t>(sentence);
    const auto begin = static_cast<size_t>(other.cumulative_seq_lengths[i]);
    const size_t size = static_cast<size_t>(other.cumulative_seq_lengths[i + 1]) - begin;
    Add(std::span(other.token_ids).subspan(begin, size),
        std::span(other.type_ids).subspan(begin, size));
  }

  void Clear() {
    token_ids.clear();
    type_ids.clear();
    cumulative_seq_lengths.assign(1, 0);
  }
};

// Sentences that one thread computes by itself.
struct BatchShare {
  PackedBatch batch;
  std::vector<int64_t> sentences;  // their places in the whole batch
};

// The batch in one share for each thread, or in none where all threads do better together on one
// sentence after another: when there are fewer sentences than threads, or a share would have to
// wait long for another. Alone, threads need not wait for each other after every product, and
// activations stay in their own caches.
std::vector<BatchShare> ShareOut(const PackedBatch& batch, int threads);

// Whether a model of this configuration can run the batch: ids below the sizes of their tables, no
// sentence empty or longer than max_position_embeddings. The error names the sentence (from 0).
Status CheckBatch(const PackedBatch& batch, const Config& config);

}  // namespace bertie::model
