// The models of a server over gRPC: the Open Inference Protocol's service, inference.proto.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "serve/context.h"
#include "serve/model_repository.h"

namespace bertie::kserve {

struct GrpcServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  size_t max_message_bytes = size_t{6} << 20;
};

// gRPC's own threads, two or as many as there are processors, take the calls and tokenise; the
// models' threads compute and answer.
class GrpcServer {
 public:
  // kUnavailable when the address cannot be had. The context and the repository must outlive the
  // server.
  static Result<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                   serve::ServeContext& context,
                                                   serve::ModelRepository& repository);
  ~GrpcServer();  // cuts what is left

  std::string address() const;  // "127.0.0.1:8001", with the port that it got

  // No new calls, once no request is on its way or half of the limit is over; those under way are
  // answered. False when some had to be cut off at the limit.
  bool Drain(std::chrono::milliseconds limit);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::kserve
