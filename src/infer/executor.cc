#include "infer/executor.h"

#include <exception>
#include <new>
#include <string>
#include <utility>

namespace bertie::infer {

Error ErrorOfException() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kResourceExhausted, "not enough memory for this batch"};
  } catch (const std::exception& error) {
    return {ErrorCode::kInternal, std::string("computing threw: ") + error.what()};
  }
}

void LocalExecutor::Start(std::shared_ptr<const model::PackedBatch> batch,
                          Clock::time_point /*deadline*/, Done done) {
  pool_.Run([this, batch = std::move(batch), done = std::move(done)](ComputePool::Lane& lane) {
    // Once done is called, this executor may be gone.
    done(Compute(*batch, lane));
  });
}

Result<std::vector<float>> LocalExecutor::Compute(const model::PackedBatch& batch,
                                                  ComputePool::Lane& lane) const {
  try {
    return classifier_.Forward(batch, [&]() -> ThreadPool& { return lane.Threads(); });
  } catch (const std::exception&) {
    return ErrorOfException();
  }
}

}  // namespace bertie::infer
