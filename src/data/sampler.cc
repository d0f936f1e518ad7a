#include "data/sampler.h"

#include <algorithm>
#include <numeric>

#include "data/random.h"

namespace bertie::data {

std::vector<std::vector<size_t>> MakeBatches(std::span<const int32_t> lengths,
                                             const SamplerOptions& options, uint64_t epoch) {
  const size_t batch_size = std::max<size_t>(1, options.batch_size);
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
  for (size_t begin = 0; begin < order.size(); begin += batch_size) {
    const size_t end = std::min(order.size(), begin + batch_size);
    batches.emplace_back(order.begin() + static_cast<ptrdiff_t>(begin),
                         order.begin() + static_cast<ptrdiff_t>(end));
  }
  if (options.order == Order::kLengthGrouped) Shuffle(std::span(batches), random);
  return batches;
}

}  // namespace bertie::data
