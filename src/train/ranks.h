// What the ranks of a run share out, and what they agree on.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"
#include "model/classifier.h"
#include "model/parameter_store.h"
#include "train/adamw.h"
#include "train/evaluator.h"
#include "train/gradient_reducer.h"
#include "train/metrics.h"
#include "train/position.h"

namespace bertie::train {

// This rank's part of a batch that all ranks know: a run of its sentences, cut so that the ranks
// get about the same number of tokens each. Together the parts are the batch, in its order; a rank
// may get none. lengths: tokens of each sentence of the data.
std::span<const size_t> ShareOf(std::span<const size_t> batch, std::span<const int32_t> lengths,
                                int rank, int size);

// A run's ranks, several of them: they take the same steps with the same weights, each with its
// part of every batch. All functions are collective. One thread at a time.
class Ranks {
 public:
  Ranks(comm::Communicator& communicator, model::ParameterStore& parameters,
        const ReducerOptions& options);

  int rank() const { return communicator_.rank(); }
  int size() const { return communicator_.size(); }

  // Everybody's weights, moments and position become rank 0's.
  Status TakeFromRankZero(Position& position, AdamW& optimizer);

  // Of the step about to begin: gradients are zero, and no pass has run. ids: the tokens of all its
  // batches, on all ranks.
  void BeginStep(std::span<const int32_t> ids);
  // As TrainingPass::on_gradients, in the step's last pass.
  void GradientsReady(int64_t from) { reducer_.Ready(from); }
  // Gradients and loss become sums over the ranks, and stop becomes true where it is on any.
  Status EndStep(double& loss, bool& stop);

  // Seconds that EndStep took.
  double waited() const { return waited_; }

  // The metrics on all of the data, the same bits on every rank and as one rank alone has.
  Result<Metrics> Evaluate(const model::Classifier& classifier, const EncodedDataset& data,
                           const EvaluatorOptions& options, ThreadPool& pool);

 private:
  template <class T>
  Status TakeValues(T* values, int64_t count);

  comm::Communicator& communicator_;
  model::ParameterStore& parameters_;
  GradientReducer reducer_;
  double waited_ = 0;
};

}  // namespace bertie::train
