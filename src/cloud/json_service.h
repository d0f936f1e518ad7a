// Services whose requests and answers are JSON: SageMaker, CloudWatch Logs. Which operation is
// meant stands in X-Amz-Target.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cloud/failure.h"
#include "cloud/service.h"

namespace bertie::cloud {

// The code of a request that is not let in.
const char* JsonAuthCode(AuthFault fault);

class JsonService : public Service {
 public:
  // An operation takes the body, a JSON object's text, and gives the answer's.
  using Operation = std::function<Outcome<std::string>(const std::string& body, const Caller&)>;
  using Operations = std::map<std::string, Operation>;

  // An operation that is not here answers UnknownOperationException with its name.
  explicit JsonService(Operations operations = {}) : operations_(std::move(operations)) {}

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  Operations operations_;
};

}  // namespace bertie::cloud
