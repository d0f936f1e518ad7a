// The form in which bertie's own routes, and those of SageMaker's containers, say no.
#pragma once

#include <string_view>

#include "http/message.h"
#include "serve/context.h"

namespace bertie::serve {

class Call;

// {"code": 400, "type": "InvalidInput", "message": "...", "request_id": "..."}.
http::Response OwnRefusal(const http::Refusal& refusal, std::string_view request_id);

// 200 with an empty body, or ServeContext::NotReady's refusal.
void AnswerHealth(const ServeContext& context, Call& call);

}  // namespace bertie::serve
