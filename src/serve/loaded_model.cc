#include "serve/loaded_model.h"

#include <utility>

#include "base/thread_pool.h"
#include "model/open.h"

namespace bertie::serve {
namespace {

Status CheckSizes(const std::string& name, const text::Tokenizer& tokenizer,
                  const model::Config& config, size_t max_length) {
  const auto tokens = static_cast<int64_t>(tokenizer.vocab_size());
  if (tokens > config.vocab_size) {
    return Error{ErrorCode::kInvalidData, name + ": the tokenizer has " + std::to_string(tokens) +
                                              " tokens; the model has embeddings for " +
                                              std::to_string(config.vocab_size)};
  }
  if (static_cast<int64_t>(max_length) > config.max_position_embeddings) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": texts of " + std::to_string(max_length) +
                     " tokens were asked for; the model has positions for " +
                     std::to_string(config.max_position_embeddings)};
  }
  return {};
}

// The tokenizer's place is before the weights', which take long.
struct Parts {
  model::Config config;
  std::optional<model::Classifier> classifier;
  ModelSummary summary;
};

Result<Parts> LoadParts(const std::filesystem::path& dir, const LoadOptions& options) {
  Parts parts;
  if (!options.local_weights && options.make_executor) {
    BERTIE_ASSIGN_OR_RETURN(parts.config, model::LoadConfig(dir / "config.json"));
    return parts;
  }
  // Threads of its own: those that serve go on meanwhile.
  ThreadPool threads(options.threads);
  BERTIE_ASSIGN_OR_RETURN(
      model::OpenedModel opened,
      model::OpenClassifier(
          dir, {dir.string(), options.precision, static_cast<int64_t>(options.max_length)},
          threads));
  parts.config = opened.classifier.config();
  parts.summary.precision = opened.precision;
  parts.summary.note = std::move(opened.note);
  parts.classifier.emplace(std::move(opened.classifier));
  return parts;
}

// Makes the executor and what feeds it.
Status StartModel(LoadedModel& model, const LoadOptions& options, infer::ComputePool& pool) {
  if (model.classifier) {
    model.local = std::make_unique<infer::LocalExecutor>(*model.classifier, pool);
  }
  infer::Executor* executor = model.local.get();
  if (options.make_executor) {
    BERTIE_ASSIGN_OR_RETURN(
        model.made, options.make_executor({model.id, model.folder.dir, model.config, executor,
                                           model.summary.precision}));
    executor = model.made.get();
  }
  infer::BatcherOptions batching = options.batcher;
  batching.on_batch = [metrics = model.metrics](const model::PackedBatch& batch) {
    metrics->ObserveBatch(batch.size(), batch.tokens());
  };
  model.batcher = std::make_unique<infer::Batcher>(*executor, std::move(batching));
  return {};
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> LoadModel(ModelId id, ModelFolder folder,
                                               const LoadOptions& options, infer::ComputePool& pool,
                                               Metrics& metrics) {
  const auto begin = std::chrono::steady_clock::now();
  BERTIE_ASSIGN_OR_RETURN(Parts parts, LoadParts(folder.dir, options));
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(folder.dir));
  BERTIE_RETURN_IF_ERROR(
      CheckSizes(folder.dir.string(), tokenizer, parts.config, options.max_length));
  auto model = std::make_unique<LoadedModel>(std::move(id), std::move(tokenizer));
  model->folder = std::move(folder);
  model->config = std::move(parts.config);
  model->classifier = std::move(parts.classifier);
  model->summary = std::move(parts.summary);
  model->scheme =
      MakeLabelScheme(model->config.labels, model->config.num_labels(), model->config.problem_type);
  model->max_length = options.max_length > 0
                          ? options.max_length
                          : static_cast<size_t>(model->config.max_position_embeddings);
  if (options.check_length) {
    if (const Status fits = options.check_length(model->max_length); !fits.ok()) {
      return fits.error().WithContext(model->folder.dir.string());
    }
  }
  model->metrics = metrics.ForModel(model->id.name, model->id.version);
  BERTIE_RETURN_IF_ERROR(StartModel(*model, options, pool));
  if (!options.make_executor) model->folder.files.reset();
  model->summary.labels = model->scheme.labels;
  model->summary.max_length = model->max_length;
  model->summary.load_time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  return model;
}

}  // namespace bertie::serve
