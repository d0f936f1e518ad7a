// STS and IAM: services whose requests are forms and whose answers are XML.
// Source: AWS Security Token Service API reference, 2011-06-15; IAM API reference, 2010-05-08.
#pragma once

#include <memory>
#include <string>

#include "cloud/failure.h"
#include "cloud/service.h"
#include "cloud/settings.h"
#include "cloud/sigv4.h"
#include "cloud/uri.h"
#include "cloud/xml.h"

namespace bertie::cloud {

// What both have in common: an action by name, and the form of errors.
class QueryService : public Service {
 public:
  explicit QueryService(std::string xmlns) : xmlns_(std::move(xmlns)) {}

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  http::Response Reject(const http::Refusal& refusal, const std::string& request_id) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 protected:
  // Writes the inside of ACTIONResult. An unknown action: InvalidAction.
  virtual Done Act(const std::string& action, const Query& form, const Caller& caller,
                   XmlWriter& result) = 0;

 private:
  http::Response ErrorAnswer(const Failure& failure, const std::string& request_id) const;
  http::Response ErrorAnswer(int status, const std::string& code, const std::string& message,
                             const std::string& request_id) const;

  std::string xmlns_;
};

class StsService : public QueryService {
 public:
  // Both must outlive the service.
  StsService(const Settings& settings, const Verifier& verifier);

 private:
  Done Act(const std::string& action, const Query& form, const Caller& caller,
           XmlWriter& result) override;
  Done AssumeRole(const Query& form, XmlWriter& result) const;
  std::string SessionArn(const std::string& session) const;

  const Settings& settings_;
  const Verifier& verifier_;
};

class IamService : public QueryService {
 public:
  explicit IamService(const Settings& settings);

 private:
  Done Act(const std::string& action, const Query& form, const Caller& caller,
           XmlWriter& result) override;
  void WriteRole(const std::string& element, XmlWriter& result) const;

  const Settings& settings_;
};

}  // namespace bertie::cloud
