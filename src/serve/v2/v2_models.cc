#include "serve/v2/v2_models.h"

#include <utility>
#include <variant>

#include "serve/v2/v2_inference.h"

namespace bertie::serve {
namespace {

using formats::Json;

// Triton's name for a datatype in configurations.
std::string ConfigType(std::string_view datatype) {
  return datatype == "BYTES" ? "TYPE_STRING" : "TYPE_" + std::string(datatype);
}

Json ConfigTensors(const std::vector<V2TensorType>& types) {
  Json list = Json::array();
  for (const V2TensorType& type : types) {
    Json tensor = {
        {"name", type.name}, {"data_type", ConfigType(type.datatype)}, {"dims", type.shape}};
    if (type.optional) tensor["optional"] = true;
    list.push_back(std::move(tensor));
  }
  return list;
}

int64_t LabelCount(const LoadedModel& model) {
  return static_cast<int64_t>(model.scheme.labels.size());
}

V2Duration Duration(int64_t count, double seconds) {
  return {static_cast<uint64_t>(count), static_cast<uint64_t>(seconds * 1e9)};
}

}  // namespace

std::vector<std::string> V2Extensions(V2Transport transport) {
  std::vector<std::string> extensions = {"classification", "model_configuration",
                                         "model_repository", "statistics"};
  if (transport == V2Transport::kHttp) extensions.insert(extensions.begin(), "binary_tensor_data");
  return extensions;
}

std::vector<std::string> V2Versions(const ServeContext& context, const LoadedModel& model) {
  std::vector<std::string> versions;
  for (const ModelPointer& each : context.models.List()) {
    if (each->id.name == model.id.name) versions.push_back(each->id.version);
  }
  return versions;
}

Json V2Metadata(const ServeContext& context, const LoadedModel& model) {
  return {{"name", model.id.name},
          {"versions", V2Versions(context, model)},
          {"platform", kV2Platform},
          {"inputs", V2TypesJson(V2Inputs())},
          {"outputs", V2TypesJson(V2Outputs(LabelCount(model)))}};
}

std::optional<http::Refusal> V2ModelNotReady(const ServeContext& context, std::string_view name,
                                             std::string_view version) {
  const auto found = context.FindModel(name, version);
  if (const auto* refusal = std::get_if<http::Refusal>(&found)) return *refusal;
  if (std::get<ModelPointer>(found)->batcher->available()) return std::nullopt;
  return http::Refusal{503, "ServiceUnavailable", "no accelerator is attached"};
}

Json V2Config(const ServeContext&, const LoadedModel& model) {
  // max_batch_size 0: the dims hold the batch's too.
  return {{"name", model.id.name},
          {"platform", kV2Platform},
          {"backend", kV2Platform},
          {"max_batch_size", 0},
          {"input", ConfigTensors(V2Inputs())},
          {"output", ConfigTensors(V2Outputs(LabelCount(model)))}};
}

std::vector<std::pair<const char*, V2Duration>> V2Durations(const ModelTotals& totals) {
  const PhaseTimes& times = totals.times;
  const int64_t count = totals.inferences;
  return {{"success", Duration(count, times.tokenize + times.queue + times.compute)},
          {"fail", Duration(totals.failures, 0)},
          {"queue", Duration(count, times.queue)},
          {"compute_input", Duration(count, times.tokenize)},
          {"compute_infer", Duration(count, times.compute)},
          {"compute_output", Duration(count, 0)}};
}

uint64_t V2Milliseconds(std::chrono::system_clock::time_point time) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

Json V2Statistics(const LoadedModel& model) {
  const ModelTotals totals = model.metrics->Totals();
  Json durations = Json::object();
  for (const auto& [name, duration] : V2Durations(totals)) {
    durations[name] = {{"count", duration.count}, {"ns", duration.ns}};
  }
  return {{"name", model.id.name},
          {"version", model.id.version},
          {"last_inference", V2Milliseconds(totals.last)},
          {"inference_count", totals.texts},
          {"execution_count", totals.batches},
          {"inference_stats", std::move(durations)},
          {"batch_stats", Json::array()}};
}

}  // namespace bertie::serve
