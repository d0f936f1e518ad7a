// The accelerator on the network: the service of accelerator.proto over gRPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "accelerator/accelerator.h"
#include "base/status.h"

namespace bertie::accelerator {

struct GrpcServerOptions {
  std::string listen = "127.0.0.1:7000";  // HOST:PORT; port 0: any free one
  // PEM files; both empty: no TLS. They are read again when they change.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;  // not empty: clients must have a certificate that it signed
  std::string token;          // not empty: clients must send it
  std::function<void(std::string_view)> log;  // one line; any thread

  std::chrono::milliseconds attach_timeout{10'000};  // from a stream's begin to its Attach
  std::chrono::milliseconds write_timeout{30'000};   // for a client to take an answer
  std::chrono::milliseconds upload_timeout{60'000};  // between two pieces of a file
};

// Three threads: one polls gRPC's queue for all methods, one is for the store's files, one watches
// the clock.
class GrpcServer {
 public:
  // Errors: kUnavailable when the address cannot be had, kIo and kInvalidData for the certificates.
  // The accelerator must outlive the server.
  static Result<std::unique_ptr<GrpcServer>> Start(GrpcServerOptions options,
                                                   Accelerator& accelerator);
  ~GrpcServer();  // cuts what is left

  std::string address() const;  // "127.0.0.1:7000", with the port that it got

  // Ends in order: no new sessions; what is queued is computed and answered, then each stream ends
  // with UNAVAILABLE. False when some had to be cut off at the limit.
  bool Drain(std::chrono::milliseconds limit);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::accelerator
