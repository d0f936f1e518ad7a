#include "data/sampler.h"

#include <algorithm>
#include <numeric>

#include "data/random.h"

namespace bertie::data {
namespace {

// Sentences of a usual batch.
size_t UsualBatch(std::span<const int32_t> lengths, const SamplerOptions& options) {
  if (options.batch_tokens <= 0 || lengths.empty()) {
    return std::max<size_t>(1, options.batch_size);
  }
  const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const auto count = static_cast<int64_t>(lengths.size());
  return static_cast<size_t>(
      std::max<int64_t>(1, options.batch_tokens * count / std::max<int64_t>(1, tokens)));
}

// The end of the batch that begins at `begin`.
size_t BatchEnd(std::span<const int32_t> lengths, std::span<const size_t> order, size_t begin,
                const SamplerOptions& options) {
  if (options.batch_tokens <= 0) {
    return std::min(order.size(), begin + std::max<size_t>(1, options.batch_size));
  }
  int64_t left = options.batch_tokens - lengths[order[begin]];
  size_t end = begin + 1;
  while (end < order.size() && lengths[order[end]] <= left) left -= lengths[order[end++]];
  return end;
}

}  // namespace

std::vector<std::vector<size_t>> MakeBatches(std::span<const int32_t> lengths,
                                             const SamplerOptions& options, uint64_t epoch) {
  const size_t batch_size = UsualBatch(lengths, options);
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(options.seed, epoch);
  if (options.order != Order::kSequential) Shuffle(std::span(order), random);
  if (options.order == Order::kLengthGrouped) {
    const size_t chunk = batch_size * std::max<size_t>(1, options.chunk_batches);
    for (size_t begin = 0; begin < order.size(); begin += chunk) {
      const size_t end = std::min(order.size(), begin + chunk);
      // Longest first, so that the smallest batch holds short sentences; stable, so that equal
      // lengths stay in the order the shuffle gave them on every machine.
      std::stable_sort(order.begin() + static_cast<ptrdiff_t>(begin),
                       order.begin() + static_cast<ptrdiff_t>(end),
                       [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
    }
  }
  std::vector<std::vector<size_t>> batches;
  batches.reserve(order.size() / batch_size + 1);
  for (size_t begin = 0; begin < order.size();) {
    const size_t end = BatchEnd(lengths, order, begin, options);
    batches.emplace_back(order.begin() + static_cast<ptrdiff_t>(begin),
                         order.begin() + static_cast<ptrdiff_t>(end));
    begin = end;
  }
  if (options.order == Order::kLengthGrouped) Shuffle(std::span(batches), random);
  return batches;
}

}  // namespace bertie::data
