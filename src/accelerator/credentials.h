// What a client's Security means to gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "accelerator/connection.h"

namespace bertie::accelerator {

inline std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const Security& security) {
  if (!security.tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = security.ca,
                               .pem_private_key = security.key,
                               .pem_cert_chain = security.cert});
}

// Sends the token with a call.
inline void Authorise(const Security& security, grpc::ClientContext& call) {
  if (!security.token.empty()) call.AddMetadata("authorization", "Bearer " + security.token);
}

}  // namespace bertie::accelerator
