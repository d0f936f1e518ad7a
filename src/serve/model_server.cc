#include "serve/model_server.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/thread_pool.h"
#include "infer/executor.h"
#include "model/classifier.h"
#include "model/model_source.h"
#include "model/open.h"

namespace bertie::serve {
namespace {

// The model and the threads that serve it, in the order they are made; taken apart in reverse.
struct Engine {
  Engine(std::unique_ptr<ThreadPool> threads, model::Classifier made, text::Tokenizer loaded)
      : pool(std::move(threads)), classifier(std::move(made)), tokenizer(std::move(loaded)) {}

  std::unique_ptr<ThreadPool> pool;
  model::Classifier classifier;
  text::Tokenizer tokenizer;
  infer::LocalExecutor executor{classifier, *pool};
  std::optional<infer::Batcher> batcher;
  ServedModel served;
};

}  // namespace

struct ModelServer::Impl {
  explicit Impl(ModelServerOptions given) : options(std::move(given)), handlers(options.handler) {}

  ModelServerOptions options;
  Handlers handlers;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<http::Server> server;  // ends first, so no request meets a half-gone engine
};

ModelServer::ModelServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelServer::~ModelServer() = default;

Result<std::unique_ptr<ModelServer>> ModelServer::Listen(ModelServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  BERTIE_ASSIGN_OR_RETURN(impl->server, http::Server::Listen(impl->options.http, impl->handlers));
  impl->handlers.SetConnectionCounter(
      [server = impl->server.get()] { return server->connections(); });
  impl->server->Start();
  return std::unique_ptr<ModelServer>(new ModelServer(std::move(impl)));
}

Result<ModelSummary> ModelServer::Load(const std::filesystem::path& path) {
  const auto begin = std::chrono::steady_clock::now();
  BERTIE_ASSIGN_OR_RETURN(model::ModelSource source, model::ModelSource::Open(path));
  auto pool = std::make_unique<ThreadPool>(impl_->options.threads);
  BERTIE_ASSIGN_OR_RETURN(model::OpenedModel opened,
                          model::OpenClassifier(source.dir(),
                                                {path.string(), impl_->options.precision,
                                                 static_cast<int64_t>(impl_->options.max_length)},
                                                *pool));
  const model::Config& config = opened.classifier.config();
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  const auto positions = static_cast<size_t>(config.max_position_embeddings);
  if (static_cast<int64_t>(tokenizer.vocab_size()) > config.vocab_size) {
    return Error{ErrorCode::kInvalidData,
                 path.string() + ": the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                     " tokens; the model has embeddings for " + std::to_string(config.vocab_size)};
  }
  auto engine =
      std::make_unique<Engine>(std::move(pool), std::move(opened.classifier), std::move(tokenizer));
  infer::BatcherOptions batching = impl_->options.batcher;
  batching.on_batch = [&metrics = impl_->handlers.metrics()](const model::PackedBatch& batch) {
    metrics.ObserveBatch(batch.size(), batch.tokens());
  };
  engine->batcher.emplace(engine->executor, std::move(batching));
  const model::Config& served = engine->classifier.config();
  engine->served = {
      .tokenizer = &engine->tokenizer,
      .batcher = &*engine->batcher,
      .scheme = MakeLabelScheme(served.labels, served.num_labels(), served.problem_type),
      .max_length = impl_->options.max_length > 0 ? impl_->options.max_length : positions};
  impl_->engine = std::move(engine);
  impl_->handlers.SetModel(&impl_->engine->served);
  return ModelSummary{.labels = impl_->engine->served.scheme.labels,
                      .max_length = impl_->engine->served.max_length,
                      .precision = opened.precision,
                      .note = std::move(opened.note),
                      .load_time = std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::steady_clock::now() - begin)};
}

std::string ModelServer::address() const { return impl_->server->address(); }
uint16_t ModelServer::port() const { return impl_->server->port(); }

void ModelServer::BeginDrain() {
  impl_->handlers.BeginDrain();
  impl_->server->BeginDrain();
}

bool ModelServer::WaitDrained(std::chrono::milliseconds timeout) {
  return impl_->server->WaitDrained(timeout);
}

}  // namespace bertie::serve
