// One stream of batches to an accelerator, as the rest of the client sees it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/batch.h"

namespace bertie::accelerator {

struct AttachOptions {
  std::string endpoint;          // a name for people and metrics
  std::string accelerator_type;  // "ml.eia2.xlarge"
  std::string content_hash;
  std::string precision;  // "fp32", "bf16", "int8"; empty: as the files are
};

struct AttachedModel {
  std::string content_hash;
  int64_t num_labels = 0;
  int64_t max_position_embeddings = 0;
  int64_t vocab_size = 0;
  std::string precision;
  std::string accelerator;  // its version and processor
  int64_t max_batch_tokens = 0;
  int max_in_flight = 0;
};

struct RemoteReply {
  uint64_t id = 0;
  Result<std::vector<float>> logits = Error{};
  // Of a successful one: for which model; and how long the accelerator had it.
  std::string content_hash;
  std::chrono::microseconds queue_time{0};
  std::chrono::microseconds compute_time{0};
};

// Called by a thread of the session's or by one that is in Send or Cancel, one at a time; must not
// block.
struct SessionEvents {
  std::function<void(RemoteReply)> on_reply;
  std::function<void(const Error&)> on_end;  // once, after the last reply
};

// Its end gives back what it had reserved. The destructor waits for on_end, so it must not be
// called from an event. Other members: any thread; none waits for the network.
class RemoteSession {
 public:
  virtual ~RemoteSession() = default;

  // A batch that could not be sent has no reply: on_end says so for all of them. timeout 0: none.
  virtual void Send(uint64_t id, const model::PackedBatch& batch,
                    std::chrono::microseconds timeout) = 0;
  virtual void Cancel(uint64_t id) = 0;
  virtual void End() = 0;

  // Of the batches and replies so far, without what the transport adds.
  virtual uint64_t bytes_sent() const = 0;
  virtual uint64_t bytes_received() const = 0;
};

}  // namespace bertie::accelerator
