// Which service a request is for, and whether it may come in.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cloud/service.h"
#include "cloud/settings.h"
#include "cloud/sigv4.h"
#include "http/handler.h"

namespace bertie::cloud {

enum class ServiceName { kS3, kSts, kIam, kSageMaker, kRuntime, kLogs, kMonitoring };

// The first that tells: the service in the signature's scope, X-Amz-Target, a form posted to /, a
// path of the runtime; anything else is S3's. In a form without a signature the action's version
// tells STS from IAM and CloudWatch, for which body is looked at; before it is there, STS is
// answered.
ServiceName ServiceOf(const http::RequestHead& head, std::string_view body = {});

struct Services {
  std::shared_ptr<Service> s3;
  std::shared_ptr<Service> sts;
  std::shared_ptr<Service> iam;
  std::shared_ptr<Service> sagemaker;
  std::shared_ptr<Service> runtime;
  std::shared_ptr<Service> logs;
  std::shared_ptr<Service> monitoring;
};

class Router : public http::Handler {
 public:
  // verifier must outlive the router.
  Router(const Verifier& verifier, std::function<void(std::string_view)> log);
  // All of them, before the first request.
  void SetServices(Services services) { services_ = std::move(services); }

  // Whoever is asked first about every request, by its head alone: an answer ends it there. On the
  // server's I/O thread. Set before the first request.
  using Front = std::function<std::optional<http::Response>(const http::RequestHead&)>;
  void SetFront(Front front) { front_ = std::move(front); }

  std::optional<http::Response> OnHead(const http::RequestHead& head) override;
  http::Admission Admit(const http::RequestHead& head) override;
  void OnRequest(http::Request request, std::shared_ptr<http::Exchange> exchange) override;
  http::Response OnRefusal(const http::Refusal& refusal) override;
  http::Response OnRefusalOf(const http::RequestHead& head, const http::Refusal& refusal) override;

 private:
  Service& Find(ServiceName name) const;
  std::string NewRequestId();

  Services services_;
  Front front_;
  const Verifier& verifier_;
  std::function<void(std::string_view)> log_;
  std::string id_prefix_;
  std::atomic<uint64_t> requests_{0};
};

}  // namespace bertie::cloud
