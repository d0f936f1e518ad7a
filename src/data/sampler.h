// The order in which an epoch visits the sentences, as batches of indices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bertie::data {

enum class Order {
  // Sentences of similar length share a batch: everything is shuffled, each run of
  // chunk_batches batches is sorted by length and cut, and the batches are shuffled again. Even
  // batches keep two threads equally busy; within a chunk the mixing is as random as before.
  kLengthGrouped,
  kShuffled,
  kSequential,  // 0, 1, 2, ...
};

struct SamplerOptions {
  Order order = Order::kLengthGrouped;
  size_t batch_size = 32;  // sentences, at least 1
  // Fewer gives more randomness, more gives evener batches; 50 is what transformers'
  // group_by_length uses.
  size_t chunk_batches = 50;
  uint64_t seed = 1;
  // When not 0: batches of as many sentences as have so many tokens together, at least one each,
  // instead of batch_size of them. The work of a step is then even, its number of sentences is not.
  int64_t batch_tokens = 0;
};

// The batches of one epoch: every index of `lengths` (tokens of each sentence) exactly once. All
// batches hold batch_size sentences but one, which has the rest; with batch_tokens the number of
// batches differs a little from epoch to epoch. The same lengths, options and epoch give the same
// batches on every machine.
std::vector<std::vector<size_t>> MakeBatches(std::span<const int32_t> lengths,
                                             const SamplerOptions& options, uint64_t epoch);

}  // namespace bertie::data
