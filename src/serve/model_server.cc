#include "serve/model_server.h"

#include <functional>
#include <future>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "infer/compute_pool.h"
#include "serve/handlers.h"
#include "serve/protocols/docs.h"
#include "serve/protocols/health.h"
#include "serve/protocols/multi_model.h"
#include "serve/protocols/open_inference.h"
#include "serve/protocols/playground.h"
#include "serve/protocols/repository.h"
#include "serve/protocols/sagemaker.h"
#include "serve/protocols/tei.h"
#include "serve/protocols/vertex.h"
#include "serve/route_table.h"

namespace bertie::serve {
namespace {

HandlerOptions WithLimits(ModelServerOptions& options) {
  options.handler.max_body_bytes = options.http.limits.max_body_bytes;
  return options.handler;
}

// The first has the paths that the operator chose, whatever else they would be; the last refuses
// what belongs to nobody.
std::vector<std::unique_ptr<Protocol>> MakeProtocols(ServeContext& context,
                                                     ModelRepository& repository,
                                                     const RouteTable& routes) {
  std::vector<std::unique_ptr<Protocol>> protocols;
  auto sagemaker = std::make_unique<SageMakerProtocol>(context);
  auto multi_model = std::make_unique<MultiModelProtocol>(context, repository, *sagemaker);
  protocols.push_back(std::make_unique<VertexProtocol>(context));
  protocols.push_back(std::make_unique<HealthProtocol>(context));
  protocols.push_back(std::move(multi_model));
  protocols.push_back(std::make_unique<RepositoryProtocol>(repository));
  protocols.push_back(std::make_unique<TeiProtocol>(context));
  protocols.push_back(std::make_unique<OpenInferenceProtocol>(context));
  protocols.push_back(std::make_unique<DocsProtocol>(context, routes));
  if (context.options.playground) {
    protocols.push_back(std::make_unique<PlaygroundProtocol>(context));
  }
  protocols.push_back(std::move(sagemaker));
  return protocols;
}

// Begins something of the repository's and waits for its end.
Status WaitFor(const std::function<void(ModelRepository::Done)>& begin) {
  std::promise<Status> promise;
  begin([&promise](Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

}  // namespace

struct ModelServer::Impl {
  explicit Impl(ModelServerOptions given)
      : options(std::move(given)),
        pool(options.threads),
        context(WithLimits(options)),
        handlers(context, routes),
        repository(options.repository, context, pool) {
    protocols = MakeProtocols(context, repository, routes);
    for (const auto& protocol : protocols) routes.Add(*protocol);
    const infer::BatcherOptions& batcher = options.repository.load.batcher;
    context.queue = {batcher.queue.max_requests, batcher.max_batch_tokens, options.threads};
  }

  ModelServerOptions options;
  infer::ComputePool pool;
  ServeContext context;
  RouteTable routes;
  std::vector<std::unique_ptr<Protocol>> protocols;
  Handlers handlers;
  ModelRepository repository;            // answers what waits for it, by the protocols
  std::unique_ptr<http::Server> server;  // ends first, so no request meets what is half gone
};

ModelServer::ModelServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelServer::~ModelServer() = default;

Result<std::unique_ptr<ModelServer>> ModelServer::Listen(ModelServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  BERTIE_ASSIGN_OR_RETURN(impl->server, http::Server::Listen(impl->options.http, impl->handlers));
  impl->context.connections = [server = impl->server.get()] { return server->connections(); };
  impl->server->Start();
  return std::unique_ptr<ModelServer>(new ModelServer(std::move(impl)));
}

Status ModelServer::Load(const std::string& name, const std::filesystem::path& path) {
  const bool first = impl_->repository.Index().empty();
  BERTIE_RETURN_IF_ERROR(WaitFor([&](ModelRepository::Done done) {
    const bool added = impl_->repository.Add(name, path.string(), done);
    if (!added) {
      done(Error{ErrorCode::kInvalidArgument, "two models have the name " + Quote(name)});
    }
  }));
  if (first) impl_->context.models.SetDefault(name);
  return {};
}

Status ModelServer::LoadFolder() {
  return WaitFor(
      [&](ModelRepository::Done done) { impl_->repository.LoadFolder(std::move(done)); });
}

Status ModelServer::SetDefault(const std::string& name) {
  if (const auto found = impl_->context.models.Find(name); !found.ok()) return found.error();
  impl_->context.models.SetDefault(name);
  return {};
}

std::vector<ModelPointer> ModelServer::models() const { return impl_->context.models.List(); }

Status ModelServer::ReloadChanged() {
  return WaitFor(
      [&](ModelRepository::Done done) { impl_->repository.ReloadChanged(std::move(done)); });
}

ServeContext& ModelServer::context() { return impl_->context; }
ModelRepository& ModelServer::repository() { return impl_->repository; }

void ModelServer::SetLoaded() { impl_->context.loaded = true; }

std::string ModelServer::address() const { return impl_->server->address(); }
uint16_t ModelServer::port() const { return impl_->server->port(); }

void ModelServer::BeginDrain() {
  impl_->context.draining = true;
  impl_->server->BeginDrain();
}

bool ModelServer::WaitDrained(std::chrono::milliseconds timeout) {
  return impl_->server->WaitDrained(timeout);
}

}  // namespace bertie::serve
