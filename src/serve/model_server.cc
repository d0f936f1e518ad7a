#include "serve/model_server.h"

#include <utility>
#include <vector>

#include "infer/compute_pool.h"
#include "serve/handlers.h"
#include "serve/protocols/health.h"
#include "serve/protocols/sagemaker.h"
#include "serve/route_table.h"

namespace bertie::serve {
namespace {

HandlerOptions WithLimits(ModelServerOptions& options) {
  options.handler.max_body_bytes = options.http.limits.max_body_bytes;
  return options.handler;
}

// The first refuses what belongs to nobody.
std::vector<std::unique_ptr<Protocol>> MakeProtocols(ServeContext& context) {
  std::vector<std::unique_ptr<Protocol>> protocols;
  protocols.push_back(std::make_unique<SageMakerProtocol>(context));
  protocols.push_back(std::make_unique<HealthProtocol>(context));
  return protocols;
}

}  // namespace

struct ModelServer::Impl {
  explicit Impl(ModelServerOptions given)
      : options(std::move(given)),
        pool(options.threads),
        context(WithLimits(options)),
        protocols(MakeProtocols(context)),
        handlers(context, routes) {
    for (const auto& protocol : protocols) routes.Add(*protocol);
  }

  ModelServerOptions options;
  infer::ComputePool pool;
  ServeContext context;
  std::vector<std::unique_ptr<Protocol>> protocols;
  RouteTable routes;
  Handlers handlers;
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

Result<ModelSummary> ModelServer::Load(ModelId id, ModelFolder folder) {
  ServeContext& context = impl_->context;
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model,
                          LoadModel(std::move(id), std::move(folder), impl_->options.load,
                                    impl_->pool, context.metrics));
  ModelSummary summary = model->summary;
  context.models.Put(context.models.Adopt(std::move(model)));
  return summary;
}

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
