// Sums the gradients over the ranks of a run while the backward pass still computes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"
#include "model/parameter_store.h"

namespace bertie::train {

struct ReducerOptions {
  comm::Wire wire = comm::Wire::kFloat32;
  // Gradients that travel together. Small ones begin early, large ones pay fewer latencies.
  int64_t bucket_bytes = int64_t{4} << 20;
};

// The flat gradients are cut into buckets from their end, where the backward pass begins. A thread
// of its own sums each bucket once it is final; of the word embeddings only the touched rows
// travel. The cuts are the same on all ranks, whatever each of them computes.
//
// One thread calls Begin, Ready and Finish, in this order; between Begin and Finish the
// communicator belongs to the reducer. Both must outlive it.
class GradientReducer {
 public:
  GradientReducer(comm::Communicator& communicator, model::ParameterStore& parameters,
                  const ReducerOptions& options);
  ~GradientReducer();

  // A step begins: no gradient is final. The store's touched rows are those of all ranks, and stay
  // as they are until Finish.
  void Begin();
  // The gradients in [from, size) of the flat buffer are final on this rank. Never rises in a step.
  void Ready(int64_t from);
  // All gradients are final. Returns when they are the sums over the ranks.
  Status Finish();

 private:
  void Run();
  Status SumOne(int64_t begin, int64_t end);
  Status SumWordRows();

  comm::Communicator& communicator_;
  model::ParameterStore& parameters_;
  const ReducerOptions options_;
  std::vector<int64_t> cuts_;  // descending: size, ..., word_size
  std::vector<float> rows_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stop_ = false;
  bool running_ = false;  // between Begin and the end of the step's sums
  int64_t ready_from_ = 0;
  Status status_;
  std::thread thread_;
};

}  // namespace bertie::train
