// gRPC's messages and what they mean.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>
#include <variant>

#include "http/message.h"
#include "inference.pb.h"
#include "serve/v2/v2_message.h"

namespace bertie::kserve {

// Refused as serve::ParseV2Request refuses JSON.
std::variant<serve::V2Request, http::Refusal> FromProto(
    const inference::ModelInferRequest& message);

// raw: outputs as bytes, as the request had its inputs.
void ToProto(const serve::V2Answer& answer, bool raw, inference::ModelInferResponse& message);

// A refusal's status, as gRPC's clients know it.
grpc::Status ToStatus(const http::Refusal& refusal);

// "NOT_FOUND".
std::string_view StatusName(grpc::StatusCode code);

}  // namespace bertie::kserve
