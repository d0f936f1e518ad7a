// An invocation of an endpoint: what goes to the model's server, and what comes back from it, in
// the words of SageMaker's runtime. Source: InvokeEndpoint in its API reference, 2017-05-13.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cloud/endpoints/model_loader.h"
#include "cloud/endpoints/routes.h"
#include "cloud/settings.h"
#include "http/client_message.h"
#include "http/message.h"

namespace bertie::cloud {

// Both ways.
inline constexpr uint64_t kMaxInvocationBody = 6'291'456;

// The endpoint that a path of the runtime names; "" where it is none.
std::string EndpointInPath(const std::string& path);

// Those that reach the server: Content-Type, Accept, and the invocation's own.
std::vector<http::Field> FieldsForServer(const http::RequestHead& head);

// Why a request is refused before any server is asked; nullopt: it is not. Of the invocation's own
// fields, and of all that is known from the head of one that is answered at once.
std::optional<http::Response> CheckInvocationFields(const http::RequestHead& head);
std::optional<http::Response> CheckInvocation(const http::RequestHead& head);

struct InvocationNames {
  const Settings& settings;
  std::string endpoint;
  std::string variant = {};
};

// {"Message": ...} with the code in x-amzn-ErrorType.
http::Response RuntimeError(int status, const char* code, const std::string& message);

// Why no server was asked. fault: not kNone.
http::Response RouteError(RouteFault fault, const InvocationNames& names,
                          const std::string& wanted_variant);

// What the server's answer, or the lack of one, is to the client.
http::Response InvocationAnswer(Result<http::ClientAnswer> answer, const InvocationNames& names);

// TargetModel is for endpoints of several models, and must be there for those.
std::optional<http::Response> CheckTargetModel(bool multi_model, const std::string& target);

// Why the wanted model is not there. answer: not kReady.
http::Response LoadRefusal(LoadAnswer answer, const InvocationNames& names);

// The server has not loaded the model, or not any more.
bool IsUnknownModel(const http::ClientAnswer& answer);

// Whether another server may be asked in the place of this one: it did not answer at all, and what
// it was asked changes nothing.
bool MayAskAnother(const Error& error);

}  // namespace bertie::cloud
