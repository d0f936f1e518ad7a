// CloudWatch in both forms that its clients speak: JSON, and forms with XML answers.
#pragma once

#include <memory>

#include "cloud/json_service.h"

namespace bertie::cloud {

// Errors in JSON also carry x-amzn-query-error, by which botocore tells their codes.
class MetricService : public JsonService {
 public:
  explicit MetricService(const Operations& operations);
  ~MetricService() override;

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  class Forms;
  std::unique_ptr<Forms> forms_;
};

}  // namespace bertie::cloud
