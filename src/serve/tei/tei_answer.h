// The way of a call from TEI's clients to its answer, which their routes share.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "http/message.h"
#include "serve/call.h"
#include "serve/context.h"
#include "serve/inference.h"
#include "serve/route.h"
#include "serve/tei/tei_message.h"

namespace bertie::serve {

// {"error", "error_type"} with the status that TEI has for the type; plain text for what its web
// framework refuses.
http::Response TeiRefusal(const http::Refusal& refusal);

// Of a model that has several labels, asked for ranks.
inline http::Refusal NoReranker() { return {424, "Backend", "model is not a re-ranker model"}; }

// 415 unless it is JSON that comes: a Route's check.
std::optional<http::Refusal> CheckTeiContentType(const http::RequestHead& head,
                                                 const PathParameters& parameters);

// A route that JSON is sent to.
inline Route TeiRoute(std::string pattern, decltype(Route::handle) handle,
                      decltype(Route::describe) describe) {
  return {.pattern = std::move(pattern),
          .method = "POST",
          .handle = std::move(handle),
          .check = CheckTeiContentType,
          .describe = describe};
}

// The default model, which becomes the call's; null: the call has been refused.
ModelPointer TakeTeiModel(const ServeContext& context, Call& call);

// Long texts to be ranked are cut where others are read in windows: they are the second of each
// pair, which windows keep whole.
Truncation TeiTruncation(const ServeContext& context, const TeiPredict& request);
Truncation TeiTruncation(const ServeContext& context, const TeiRerank& request);

struct TeiAnswer {
  std::function<Result<std::string>(const Inference&)> format;  // the body
  // Before the message of a refusal that one text is the cause of, such as "instances[3]: ".
  std::function<std::string(size_t text)> where = {};
};
void InferTei(const std::shared_ptr<Call>& call, InferenceRequest request, TeiAnswer answer);

}  // namespace bertie::serve
