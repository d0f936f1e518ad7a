// By what the accelerator proves itself to endpoints, and they to it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "accelerator/grpc_server.h"
#include "base/status.h"

namespace bertie::accelerator {

// Of the options' PEM files, which are read again when they change. kIo, kInvalidData: of a file.
Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const GrpcServerOptions& options);

}  // namespace bertie::accelerator
