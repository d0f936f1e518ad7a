// Asynchronous invocations that were accepted and are not answered yet, as they are kept.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cloud/database.h"
#include "cloud/failure.h"
#include "cloud/s3/s3_uri.h"
#include "cloud/schema.h"
#include "cloud/times.h"
#include "http/message.h"

namespace bertie::cloud {

struct AsyncRequest {
  int64_t id = 0;  // in the order of acceptance
  std::string endpoint;
  Milliseconds endpoint_created = 0;
  std::string inference_id;
  std::optional<S3Uri> input = {};       // absent: the body is in the row
  std::vector<http::Field> fields = {};  // for the server
  std::chrono::seconds time_limit{900};  // of an invocation
  Milliseconds expires = 0;              // one that still waits then is not made
  S3Uri output = {};
  std::optional<S3Uri> failure = {};  // absent: nobody is told
};

SchemaPart AsyncSchema();

// Sets the id. body: of a request without input.
Done InsertAsync(Database& database, AsyncRequest& request, const std::string& body);
// By id, without their bodies.
Outcome<std::vector<AsyncRequest>> ReadAsyncRequests(Database& database);
Outcome<std::string> ReadAsyncBody(Database& database, int64_t id);
Done DeleteAsync(Database& database, int64_t id);

}  // namespace bertie::cloud
