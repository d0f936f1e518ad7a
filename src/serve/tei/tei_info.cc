#include "serve/tei/tei_info.h"

#include <string>
#include <utility>

namespace bertie::serve {
namespace {

using formats::Json;

// PyTorch's names, which TEI's dtypes are.
std::string DtypeName(const std::optional<model::WeightType>& precision) {
  const std::string name = precision ? model::PrecisionName(*precision) : "fp32";
  if (name == "fp32") return "float32";
  return name == "bf16" ? "bfloat16" : name;
}

Json ModelType(const LabelScheme& scheme) {
  Json names = Json::object();
  Json indices = Json::object();
  for (size_t i = 0; i < scheme.labels.size(); ++i) {
    names[std::to_string(i)] = scheme.labels[i];
    indices[scheme.labels[i]] = i;
  }
  const char* kind = scheme.labels.size() == 1 ? "reranker" : "classifier";
  return {{kind, {{"id2label", std::move(names)}, {"label2id", std::move(indices)}}}};
}

}  // namespace

Json TeiInfo(const ServeContext& context, const LoadedModel& model) {
  const std::string& commit = model.folder.commit;
  return {{"model_id", model.id.name},
          {"model_sha", commit.empty() ? Json() : Json(commit)},
          {"model_dtype", DtypeName(model.summary.precision)},
          {"model_type", ModelType(model.scheme)},
          {"max_concurrent_requests", context.queue.max_requests},
          {"max_input_length", model.max_length},
          {"max_batch_tokens", context.queue.max_batch_tokens},
          {"max_batch_requests", nullptr},
          {"max_client_batch_size", context.options.max_texts},
          {"auto_truncate", context.options.long_texts.mode == LongTexts::kCut},
          {"tokenization_workers", context.queue.threads},
          {"version", context.options.version},
          {"sha", nullptr},
          {"docker_label", nullptr}};
}

}  // namespace bertie::serve
