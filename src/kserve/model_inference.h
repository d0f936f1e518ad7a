// One inference, whichever method it came by.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>

#include "http/message.h"
#include "inference.pb.h"
#include "serve/context.h"
#include "serve/request_record.h"

namespace bertie::kserve {

// What an inference has of its call. All outlive it.
struct InferenceCallFacts {
  serve::ServeContext& context;
  serve::RequestRecord& record;  // gets the model and the texts
  std::chrono::system_clock::time_point deadline;
  std::stop_token cancelled;
};

// Fills the answer, then calls done with nothing; with a refusal where there is no answer. Once:
// before it returns where the request cannot be taken, else by a thread of the model's, until when
// the answer must live. The request is read before it returns. Any thread.
void InferModel(const InferenceCallFacts& call, const inference::ModelInferRequest& request,
                inference::ModelInferResponse& answer,
                std::function<void(const std::optional<http::Refusal>&)> done);

}  // namespace bertie::kserve
