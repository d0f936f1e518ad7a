// What is known of a request by its head alone: its ids, and the fields of its answer that follow
// from them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace bertie::serve {

struct RequestFacts {
  std::string method;
  std::string request_id;           // X-Request-Id's, or one made here
  std::string trace_id;             // traceparent's; "" where it has none
  std::vector<http::Field> fields;  // for the answer
};

// The answer carries X-Request-Id; traceparent (W3C Trace Context, level 1) with an id of this
// server's own where the request had one; and, where the Origin is one of those allowed ("*": any),
// what CORS asks for. Ids that are malformed count as not sent. Any thread.
RequestFacts ReadFacts(const http::RequestHead& head, const std::vector<std::string>& origins);

// For what could not be read.
RequestFacts NoFacts();

// For CORS' question before a request, whose Access-Control-Request-Method is there; fields are the
// request's.
void AllowPreflight(const http::RequestHead& head, std::string_view methods,
                    http::Response& response);

}  // namespace bertie::serve
