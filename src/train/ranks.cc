#include "train/ranks.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <type_traits>

#include "base/elapsed.h"

namespace bertie::train {

std::span<const size_t> ShareOf(std::span<const size_t> batch, std::span<const int32_t> lengths,
                                int rank, int size) {
  int64_t tokens = 0;
  for (size_t index : batch) tokens += lengths[index];
  // A sentence belongs to the rank in whose part of all tokens its middle lies. Twice the tokens,
  // so that the middle is a whole number.
  int64_t before = 0;
  size_t begin = batch.size();
  size_t end = batch.size();
  for (size_t i = 0; i < batch.size(); ++i) {
    const int64_t middle = 2 * before + lengths[batch[i]];
    before += lengths[batch[i]];
    const auto owner = static_cast<int>(std::min<int64_t>(size - 1, middle * size / (2 * tokens)));
    if (owner >= rank && begin == batch.size()) begin = i;
    if (owner > rank) {
      end = i;
      break;
    }
  }
  return batch.subspan(std::min(begin, end), end - std::min(begin, end));
}

Ranks::Ranks(comm::Communicator& communicator, model::ParameterStore& parameters,
             const ReducerOptions& options)
    : communicator_(communicator),
      parameters_(parameters),
      reducer_(communicator, parameters, options) {}

template <class T>
Status Ranks::TakeValues(T* values, int64_t count) {
  return communicator_.Broadcast(
      std::as_writable_bytes(std::span(values, static_cast<size_t>(count))), 0);
}

Status Ranks::TakeFromRankZero(Position& position, AdamW& optimizer) {
  static_assert(std::is_trivially_copyable_v<Position>);
  struct {
    Position position;
    int64_t parameters, steps, touched;
  } state{position, parameters_.size(), optimizer.steps(),
          static_cast<int64_t>(parameters_.ever_touched_rows().size())};
  BERTIE_RETURN_IF_ERROR(TakeValues(&state, 1));
  if (state.parameters != parameters_.size()) {
    return Error{ErrorCode::kInvalidArgument,
                 "the model has " + std::to_string(parameters_.size()) + " weights, rank 0's " +
                     std::to_string(state.parameters)};
  }
  BERTIE_RETURN_IF_ERROR(TakeValues(parameters_.values(), parameters_.size()));
  position = state.position;
  if (state.steps == 0) return {};
  optimizer.set_steps(state.steps);
  const int64_t first = parameters_.frozen_size();
  const int64_t trained = parameters_.size() - first;
  BERTIE_RETURN_IF_ERROR(TakeValues(optimizer.moment1() + first, trained));
  BERTIE_RETURN_IF_ERROR(TakeValues(optimizer.moment2() + first, trained));
  std::vector<int32_t> touched = parameters_.ever_touched_rows();
  touched.resize(static_cast<size_t>(state.touched));
  BERTIE_RETURN_IF_ERROR(TakeValues(touched.data(), state.touched));
  parameters_.TouchRows(touched);
  return {};
}

void Ranks::BeginStep(std::span<const int32_t> ids) {
  if (parameters_.trains_words()) parameters_.TouchRows(ids);
  reducer_.Begin();
}

Status Ranks::EndStep(double& loss, bool& stop) {
  const auto start = std::chrono::steady_clock::now();
  BERTIE_RETURN_IF_ERROR(reducer_.Finish());
  double values[] = {loss, stop ? 1.0 : 0.0};
  BERTIE_RETURN_IF_ERROR(communicator_.AllReduce(std::span(values)));
  loss = values[0];
  stop = values[1] > 0;
  waited_ = SecondsSince(start);
  return {};
}

Result<Metrics> Ranks::Evaluate(const model::Classifier& classifier, const EncodedDataset& data,
                                const EvaluatorOptions& options, ThreadPool& pool) {
  const auto labels = static_cast<size_t>(classifier.config().num_labels());
  // Each rank takes every size-th of the sentences by length.
  std::vector<size_t> order(data.encodings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return data.encodings[a].ids.size() < data.encodings[b].ids.size();
  });
  std::vector<size_t> mine;
  std::vector<text::Encoding> encodings;
  for (auto i = static_cast<size_t>(rank()); i < order.size(); i += static_cast<size_t>(size())) {
    mine.push_back(order[i]);
    encodings.push_back(data.encodings[order[i]]);
  }
  BERTIE_ASSIGN_OR_RETURN(const auto part, ComputeLogits(classifier, encodings, options, pool));
  // What is another rank's is zero here: the sum is a gathering.
  std::vector<float> logits(data.encodings.size() * labels);
  for (size_t i = 0; i < mine.size(); ++i) {
    std::copy_n(part.begin() + static_cast<ptrdiff_t>(i * labels), labels,
                logits.begin() + static_cast<ptrdiff_t>(mine[i] * labels));
  }
  BERTIE_RETURN_IF_ERROR(communicator_.AllReduce(std::span(logits)));
  return ComputeMetrics(data.targets, logits, static_cast<int>(labels), options.threshold);
}

}  // namespace bertie::train
