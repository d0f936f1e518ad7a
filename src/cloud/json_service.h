// Services whose requests and answers are JSON: SageMaker, CloudWatch Logs. Which operation is
// meant stands in X-Amz-Target.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cloud/failure.h"
#include "cloud/service.h"
#include "cloud/times.h"
#include "formats/json.h"

namespace bertie::cloud {

// The code of a request that is not let in.
const char* JsonAuthCode(AuthFault fault);

// The body of a request: a JSON object; {} where there is none. SerializationException for anything
// else.
Outcome<formats::Json> ParseRequest(const std::string& body);

// A client that did not get its answer asks again: whether this is that request, and to be answered
// as the first was.
bool IsRepeat(const std::string& first_request, Milliseconds first_time,
              const std::string& request);

class JsonService : public Service {
 public:
  // An operation takes the body, a JSON object's text, and gives the answer's.
  using Operation = std::function<Outcome<std::string>(const std::string& body, const Caller&)>;
  using Operations = std::map<std::string, Operation>;

  // An operation that is not here answers UnknownOperationException with its name.
  explicit JsonService(Operations operations = {}) : operations_(std::move(operations)) {}

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  http::Response Reject(const http::Refusal& refusal, const std::string& request_id) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  Operations operations_;
};

// An operation from one whose request is parsed; it also gets the body's text.
JsonService::Operation ParsedOperation(
    std::function<Outcome<formats::Json>(const formats::Json&, const std::string&)> operation);

}  // namespace bertie::cloud
