#include "cloud/cloud_server.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cloud/amazon_hosts.h"
#include "cloud/async/async_queue.h"
#include "cloud/async/async_rows.h"
#include "cloud/async/async_service.h"
#include "cloud/browsers.h"
#include "cloud/endpoints/endpoint_logs.h"
#include "cloud/endpoints/endpoint_metrics.h"
#include "cloud/endpoints/endpoint_operations.h"
#include "cloud/endpoints/endpoints.h"
#include "cloud/endpoints/invocation.h"
#include "cloud/endpoints/model_operations.h"
#include "cloud/endpoints/runtime_service.h"
#include "cloud/jobs/job_record.h"
#include "cloud/jobs/training_service.h"
#include "cloud/json_service.h"
#include "cloud/logs/logs_service.h"
#include "cloud/metrics/metric_operations.h"
#include "cloud/metrics/metric_service.h"
#include "cloud/named_rows.h"
#include "cloud/query_service.h"
#include "cloud/router.h"
#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_service.h"
#include "cloud/sigv4.h"
#include "cloud/state.h"
#include "cloud/tags.h"
#include "cloud/transform/transform_rows.h"
#include "cloud/transform/transform_service.h"
#include "http/certificate_authority.h"
#include "http/client_pool.h"

namespace bertie::cloud {
namespace {

// An object put in one piece, as S3 has it; aws-chunked adds a little for each chunk.
constexpr uint64_t kMaxObject = (uint64_t{5} << 30) + (uint64_t{64} << 20);
// A thousand keys to delete, each of 1024 bytes that XML escapes, or an invocation.
constexpr uint64_t kMaxBody = uint64_t{8} << 20;
// They wait for the disk most of their time.
constexpr int kThreads = 16;

}  // namespace

struct CloudServer::Impl {
  explicit Impl(CloudServerOptions the_options)
      : options(std::move(the_options)), verifier(options.settings) {}

  CloudServerOptions options;
  Verifier verifier;
  std::unique_ptr<ObjectStore> store;
  std::unique_ptr<State> state;
  std::unique_ptr<TrainingService> training;
  EndpointMetrics endpoint_metrics;
  std::unique_ptr<EndpointLogs> endpoint_logs;
  http::ClientPool servers{{.limits = {.max_body_bytes = kMaxInvocationBody}}};
  std::unique_ptr<Endpoints> endpoints;
  std::unique_ptr<AsyncQueue> async;
  std::unique_ptr<TransformService> transforms;
  std::unique_ptr<Router> router;
  std::unique_ptr<http::CertificateAuthority> authority;  // where there is TLS
  std::unique_ptr<http::Server> server, proxy;            // end first

  Status Listen();
  Result<std::shared_ptr<const http::TlsIdentity>> Identify() const;
};

// The cloud's own certificate: all names by which its address may be called.
Result<std::shared_ptr<const http::TlsIdentity>> CloudServer::Impl::Identify() const {
  std::vector<std::string> hosts{"localhost", "127.0.0.1", "::1"};
  const std::string& host = options.http.host;
  if (host != "0.0.0.0" && host != "::") hosts.push_back(host);
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0') hosts.emplace_back(name);
  hosts.push_back(options.settings.domain);
  hosts.push_back("*." + options.settings.domain);
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  return authority->Issue(hosts);
}

// Nobody is served yet, but what is opened next is told the addresses.
Status CloudServer::Impl::Listen() {
  http::ServerOptions& http = options.http;
  Settings& settings = options.settings;
  router = std::make_unique<Router>(verifier, http.log);
  if (options.tls || options.proxy_port) {
    BERTIE_ASSIGN_OR_RETURN(
        authority, http::CertificateAuthority::Open(std::filesystem::absolute(options.data) / "ca",
                                                    "bertie cloud on this machine"));
    settings.ca_file = authority->certificate_file().string();
  }
  if (options.tls) {
    BERTIE_ASSIGN_OR_RETURN(auto identity, Identify());
    http.tls = std::make_shared<http::TlsHolder>(std::move(identity));
  }
  BERTIE_ASSIGN_OR_RETURN(server, http::Server::Listen(http, *router));
  settings.url = server->url();
  if (!options.proxy_port) return {};
  http::ServerOptions proxied = http;
  proxied.port = *options.proxy_port;
  proxied.tls = nullptr;
  proxied.connect =
      [this](const std::string& wanted) -> Result<std::shared_ptr<const http::TlsIdentity>> {
    if (const auto host = OfferedHost(wanted)) return authority->Issue({*host});
    return Error{ErrorCode::kInvalidArgument,
                 "bertie cloud's proxy leads to no host but Amazon's of the services offered here, "
                 "at port 443; found " +
                     wanted};
  };
  BERTIE_ASSIGN_OR_RETURN(proxy, http::Server::Listen(proxied, *router));
  settings.proxy_url = proxy->url();
  return {};
}

CloudServer::CloudServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CloudServer::~CloudServer() = default;

Result<std::unique_ptr<CloudServer>> CloudServer::Start(CloudServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  const Settings& settings = impl->options.settings;
  http::ServerOptions& http = impl->options.http;
  http.limits.max_body_bytes = kMaxBody;
  http.limits.max_stream_bytes = kMaxObject;
  http.handler_threads = kThreads;
  http.always_on_pool = true;
  BERTIE_ASSIGN_OR_RETURN(impl->store, ObjectStore::Open(impl->options.data, http.log));
  BERTIE_RETURN_IF_ERROR(impl->Listen());
  const std::vector<SchemaPart> schemas{NamedSchema(), EndpointSchema(),  AsyncSchema(),
                                        JobSchema(),   TransformSchema(), TagSchema()};
  BERTIE_ASSIGN_OR_RETURN(impl->state, State::Open(impl->options.data, schemas));
  BERTIE_ASSIGN_OR_RETURN(impl->training,
                          TrainingService::Open(settings, *impl->store, *impl->state,
                                                impl->options.data / "jobs", http.log));
  impl->endpoint_logs = std::make_unique<EndpointLogs>(impl->options.data / "logs" / "endpoints");
  auto endpoints = Endpoints::Open({.state = *impl->state,
                                    .store = *impl->store,
                                    .logs = *impl->endpoint_logs,
                                    .folder = impl->options.data / "endpoints",
                                    .log = http.log,
                                    .servers = impl->servers});
  if (!endpoints.ok()) return Error{ErrorCode::kIo, endpoints.error().message};
  impl->endpoints = *std::move(endpoints);
  auto async = AsyncQueue::Open({settings, *impl->state, *impl->store, *impl->endpoints, http.log});
  if (!async.ok()) return Error{ErrorCode::kIo, async.error().message};
  impl->async = *std::move(async);
  auto transforms = TransformService::Open(settings, *impl->store, *impl->state,
                                           impl->options.data / "transforms", http.log);
  if (!transforms.ok()) return Error{ErrorCode::kIo, transforms.error().message};
  impl->transforms = *std::move(transforms);
  JsonService::Operations sagemaker = ModelOperations(settings, *impl->state, *impl->store);
  sagemaker.merge(EndpointOperations(settings, *impl->state, *impl->endpoints));
  sagemaker.merge(impl->training->Operations());
  sagemaker.merge(impl->transforms->Operations());
  sagemaker.merge(TagOperations(*impl->state));
  Services services{
      .s3 = std::make_shared<S3Service>(settings, *impl->store, http.log),
      .sts = std::make_shared<StsService>(settings, impl->verifier),
      .iam = std::make_shared<IamService>(settings),
      .sagemaker = std::make_shared<JsonService>(std::move(sagemaker)),
      .runtime = std::make_shared<RuntimeService>(
          settings, *impl->endpoints, impl->servers, *impl->store, impl->endpoint_metrics,
          std::make_unique<AsyncService>(settings, *impl->endpoints, *impl->async)),
      .logs = std::make_shared<JsonService>(LogOperations(
          settings, {impl->training.get(), impl->transforms.get(), impl->endpoint_logs.get()})),
      .monitoring = std::make_shared<MetricService>(
          MetricOperations({&impl->endpoint_metrics.source(), &impl->training->metrics()})),
  };
  impl->router->SetServices(std::move(services));
  impl->router->SetFront(
      [&settings, checks = impl->verifier.checks()](const http::RequestHead& head) {
        return AnswerBrowser(head, settings, checks);
      });
  impl->server->Start();
  if (impl->proxy) impl->proxy->Start();
  return std::unique_ptr<CloudServer>(new CloudServer(std::move(impl)));
}

std::string CloudServer::address() const { return impl_->server->address(); }
uint16_t CloudServer::port() const { return impl_->server->port(); }
const Settings& CloudServer::settings() const { return impl_->options.settings; }

void CloudServer::BeginDrain() {
  impl_->server->BeginDrain();
  if (impl_->proxy) impl_->proxy->BeginDrain();
}

bool CloudServer::WaitDrained(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  if (!impl_->server->WaitDrained(timeout)) return false;
  return !impl_->proxy || impl_->proxy->WaitDrained(std::chrono::ceil<std::chrono::milliseconds>(
                              end - std::chrono::steady_clock::now()));
}

}  // namespace bertie::cloud
