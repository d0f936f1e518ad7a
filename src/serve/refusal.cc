#include "serve/refusal.h"

#include <string>

#include "formats/json.h"
#include "serve/call.h"

namespace bertie::serve {

http::Response OwnRefusal(const http::Refusal& refusal, std::string_view request_id) {
  http::Response response;
  response.status = refusal.status;
  response.content_type = "application/json";
  response.body = "{\"code\":" + std::to_string(refusal.status) + ",\"type\":\"" + refusal.type +
                  "\",\"message\":" + formats::DumpJson(formats::Json(refusal.message)) +
                  ",\"request_id\":" + formats::DumpJson(formats::Json(request_id)) + "}\n";
  return response;
}

void AnswerHealth(const ServeContext& context, Call& call) {
  if (const auto refusal = context.NotReady()) return call.Refuse(*refusal);
  call.Respond({});
}

}  // namespace bertie::serve
