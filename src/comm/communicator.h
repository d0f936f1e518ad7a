// Sums and copies between the processes ("ranks") of one training run.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace bertie::comm {

// How floats travel in a sum.
enum class Wire {
  kFloat32,  // as they are
  // Half the bytes: each rank's contribution is rounded to bfloat16 (nearest, ties to even), the
  // contributions are added in fp32, and the sum is rounded to bfloat16 again. Every rank, the one
  // that adds included, gets the rounded sum: all have the same bits.
  kBfloat16,
};

// The calls are collective: all ranks make the same calls with the same sizes in the same order,
// and each call returns when this rank's part is done. One thread at a time.
//
// A sum is taken in the order of the ranks: ((rank 0 + rank 1) + rank 2) + ... Two runs thus give
// the same bits, and so do all ranks of one run.
//
// Errors: kUnavailable when a rank was lost, kDeadlineExceeded when one has been silent for too
// long; the message names the rank and what is known of its end. After an error nothing but
// destruction is useful.
class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // values[i] becomes the sum over ranks of values[i]. 2 (N-1)/N of the bytes leave each rank and
  // as many reach it.
  virtual Status AllReduce(std::span<float> values, Wire wire) = 0;
  Status AllReduce(std::span<float> values) { return AllReduce(values, Wire::kFloat32); }
  virtual Status AllReduce(std::span<double> values) = 0;

  // bytes becomes rank root's bytes, everywhere.
  virtual Status Broadcast(std::span<std::byte> bytes, int root) = 0;

  // Returns when every rank has called it.
  virtual Status Barrier() = 0;

  // Says goodbye, once, as the last call. After a status that is good it returns when all ranks
  // have said it (or one is lost): no rank closes connections that another still needs. An error
  // goes to the others as the reason of this rank's end, and their calls fail. Without Leave they
  // learn of the loss from the closed connection.
  virtual void Leave(const Status& status) = 0;
};

// One rank: every call returns at once.
class SingleCommunicator final : public Communicator {
 public:
  using Communicator::AllReduce;
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Status AllReduce(std::span<float>, Wire) override { return {}; }
  Status AllReduce(std::span<double>) override { return {}; }
  Status Broadcast(std::span<std::byte>, int) override { return {}; }
  Status Barrier() override { return {}; }
  void Leave(const Status&) override {}
};

}  // namespace bertie::comm
