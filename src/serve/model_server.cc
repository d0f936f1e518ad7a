#include "serve/model_server.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/thread_pool.h"
#include "infer/executor.h"
#include "model/classifier.h"
#include "model/open.h"

namespace bertie::serve {
namespace {

// The model and the threads that serve it, in the order they are made; taken apart in reverse.
struct Engine {
  explicit Engine(text::Tokenizer loaded) : tokenizer(std::move(loaded)) {}

  text::Tokenizer tokenizer;
  model::Config config;
  std::unique_ptr<ThreadPool> pool;
  std::optional<model::Classifier> classifier;
  std::optional<model::WeightType> precision;  // classifier's
  std::optional<infer::LocalExecutor> local;
  std::unique_ptr<infer::Executor> made;
  std::optional<infer::Batcher> batcher;
  ServedModel served;
};

Status CheckSizes(const std::string& name, const Engine& engine, size_t max_length) {
  const auto tokens = static_cast<int64_t>(engine.tokenizer.vocab_size());
  if (tokens > engine.config.vocab_size) {
    return Error{ErrorCode::kInvalidData, name + ": the tokenizer has " + std::to_string(tokens) +
                                              " tokens; the model has embeddings for " +
                                              std::to_string(engine.config.vocab_size)};
  }
  if (static_cast<int64_t>(max_length) > engine.config.max_position_embeddings) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": texts of " + std::to_string(max_length) +
                     " tokens were asked for; the model has positions for " +
                     std::to_string(engine.config.max_position_embeddings)};
  }
  return {};
}

}  // namespace

struct ModelServer::Impl {
  explicit Impl(ModelServerOptions given) : options(std::move(given)), handlers(options.handler) {}
  Status Start(Engine& made, const std::filesystem::path& dir);

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

Result<ModelSummary> ModelServer::Load(const std::filesystem::path& dir) {
  const auto begin = std::chrono::steady_clock::now();
  const ModelServerOptions& options = impl_->options;
  ModelSummary summary;
  std::unique_ptr<ThreadPool> pool;
  std::optional<model::Classifier> classifier;
  model::Config config;
  if (options.local_weights || !options.make_executor) {
    pool = std::make_unique<ThreadPool>(options.threads);
    BERTIE_ASSIGN_OR_RETURN(
        model::OpenedModel opened,
        model::OpenClassifier(
            dir, {dir.string(), options.precision, static_cast<int64_t>(options.max_length)},
            *pool));
    config = opened.classifier.config();
    summary.precision = opened.precision;
    summary.note = std::move(opened.note);
    classifier.emplace(std::move(opened.classifier));
  } else {
    BERTIE_ASSIGN_OR_RETURN(config, model::LoadConfig(dir / "config.json"));
  }
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(dir));
  auto engine = std::make_unique<Engine>(std::move(tokenizer));
  engine->config = std::move(config);
  engine->pool = std::move(pool);
  engine->classifier = std::move(classifier);
  engine->precision = summary.precision;
  BERTIE_RETURN_IF_ERROR(CheckSizes(dir.string(), *engine, options.max_length));
  BERTIE_RETURN_IF_ERROR(impl_->Start(*engine, dir));
  impl_->engine = std::move(engine);
  impl_->handlers.SetModel(&impl_->engine->served);
  summary.labels = impl_->engine->served.scheme.labels;
  summary.max_length = impl_->engine->served.max_length;
  summary.load_time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  return summary;
}

// Makes the executor and what feeds it.
Status ModelServer::Impl::Start(Engine& made, const std::filesystem::path& dir) {
  if (made.classifier) made.local.emplace(*made.classifier, *made.pool);
  infer::Executor* executor = made.local ? &*made.local : nullptr;
  if (options.make_executor) {
    BERTIE_ASSIGN_OR_RETURN(made.made,
                            options.make_executor({dir, made.config, executor, made.precision}));
    executor = made.made.get();
  }
  infer::BatcherOptions batching = options.batcher;
  batching.on_batch = [&metrics = handlers.metrics()](const model::PackedBatch& batch) {
    metrics.ObserveBatch(batch.size(), batch.tokens());
  };
  made.batcher.emplace(*executor, std::move(batching));
  const auto positions = static_cast<size_t>(made.config.max_position_embeddings);
  made.served = {.tokenizer = &made.tokenizer,
                 .batcher = &*made.batcher,
                 .scheme = MakeLabelScheme(made.config.labels, made.config.num_labels(),
                                           made.config.problem_type),
                 .max_length = options.max_length > 0 ? options.max_length : positions};
  return {};
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
