#include <utility>

#include "serve/openapi/operations.h"
#include "serve/v2/v2_inference.h"

namespace bertie::serve {
namespace {

using formats::Json;

constexpr const char* kV2Tag = "Open Inference Protocol v2";

Json ShapeSchema(int least) { return ListSchema({{"type", "integer"}, {"minimum", least}}); }

Json OrNull(const char* type) { return {{"type", {type, "null"}}}; }

Json TensorSchema(Json data_types) {
  return ObjectSchema({{"name", OfType("string")},
                       {"shape", ShapeSchema(0)},
                       {"datatype", {{"enum", std::move(data_types)}}},
                       {"parameters", OrNull("object")},
                       {"data", OfType("array")}},
                      {"name", "shape", "datatype"});
}

Json TypesSchema() {
  return ListSchema(ObjectSchema(
      {{"name", OfType("string")}, {"datatype", OfType("string")}, {"shape", ShapeSchema(-1)}},
      {"name", "datatype", "shape"}));
}

Json DurationSchema() {
  return ObjectSchema({{"count", OfType("integer")}, {"ns", OfType("integer")}}, {"count", "ns"});
}

}  // namespace

Json V2RefusalContent() {
  return {
      {"application/json", {{"schema", ObjectSchema({{"error", OfType("string")}}, {"error"})}}}};
}

Json DescribeV2Server(const DocModel&) {
  return Operation(kV2Tag, "The server and its extensions")
      .Answers("The server.", "application/json",
               ObjectSchema({{"name", OfType("string")},
                             {"version", OfType("string")},
                             {"extensions", ListSchema(OfType("string"))}},
                            {"name", "version", "extensions"}));
}

Json DescribeV2Live(const DocModel&) {
  return Operation(kV2Tag, "Whether the server lives")
      .Answers("It does.", "application/json",
               ObjectSchema({{"live", OfType("boolean")}}, {"live"}), {{"live", true}});
}

Json DescribeV2Ready(const DocModel&) {
  return Operation(kV2Tag, "Whether requests are answered")
      .Answers("They are.", "application/json",
               ObjectSchema({{"ready", OfType("boolean")}}, {"ready"}), {{"ready", true}});
}

Json DescribeV2Model(const DocModel& model) {
  return Operation(kV2Tag, "A model's tensors")
      .Answers("The model.", "application/json",
               ObjectSchema({{"name", OfType("string")},
                             {"versions", ListSchema(OfType("string"))},
                             {"platform", OfType("string")},
                             {"inputs", TypesSchema()},
                             {"outputs", TypesSchema()}},
                            {"name", "versions", "platform", "inputs", "outputs"}),
               {{"name", model.name},
                {"versions", {model.version}},
                {"platform", "bertie"},
                {"inputs", V2TypesJson(V2Inputs())},
                {"outputs", V2TypesJson(V2Outputs(static_cast<int64_t>(model.labels.size())))}});
}

Json DescribeV2ModelReady(const DocModel& model) {
  return Operation(kV2Tag, "Whether a model answers requests")
      .Answers("It does.", "application/json",
               ObjectSchema({{"name", OfType("string")}, {"ready", OfType("boolean")}},
                            {"name", "ready"}),
               {{"name", model.name}, {"ready", true}});
}

Json DescribeV2Infer(const DocModel& model) {
  const Json request = {
      {"id", "1"},
      {"inputs",
       Json::array(
           {{{"name", "text"}, {"shape", {1}}, {"datatype", "BYTES"}, {"data", {"a text"}}}})},
      {"outputs", Json::array({{{"name", "label"}}})}};
  const Json answer = {{"model_name", model.name},
                       {"model_version", model.version},
                       {"id", "1"},
                       {"outputs", Json::array({{{"name", "label"},
                                                 {"datatype", "BYTES"},
                                                 {"shape", {1}},
                                                 {"data", {model.labels.front()}}}})}};
  Json outputs =
      ListSchema(ObjectSchema({{"name", {{"enum", {"logits", "probabilities", "label"}}}},
                               {"parameters", OrNull("object")}},
                              {"name"}));
  return Operation(kV2Tag, "Classify texts, or token ids",
                   "With the header Inference-Header-Content-Length, tensors may follow the JSON "
                   "as bytes (Triton's binary data extension).")
      .Takes("application/json",
             ObjectSchema({{"id", OfType("string")},
                           {"parameters", OrNull("object")},
                           {"inputs", ListSchema(TensorSchema({"BYTES", "INT64", "INT32"}), 1)},
                           {"outputs", AnyOf({OfType("null"), std::move(outputs)})}},
                          {"inputs"}),
             request)
      .Answers("The outputs that were asked for, or all.", "application/json",
               ObjectSchema({{"model_name", OfType("string")},
                             {"model_version", OfType("string")},
                             {"id", OfType("string")},
                             {"outputs", ListSchema(TensorSchema({"BYTES", "FP32"}))}},
                            {"model_name", "model_version", "outputs"}),
               answer)
      .Answers("The outputs that were asked for, or all.", "application/octet-stream",
               OfType("string"));
}

Json DescribeV2Config(const DocModel&) {
  return Operation(kV2Tag, "A model's configuration, in Triton's words")
      .Answers("The configuration.", "application/json",
               ObjectSchema({{"name", OfType("string")},
                             {"platform", OfType("string")},
                             {"backend", OfType("string")},
                             {"max_batch_size", OfType("integer")},
                             {"input", ListSchema(OfType("object"))},
                             {"output", ListSchema(OfType("object"))}},
                            {"name", "platform", "backend", "max_batch_size", "input", "output"}));
}

Json DescribeV2Statistics(const DocModel&) {
  Json durations = Json::object();
  Json names = Json::array();
  for (const char* name :
       {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output"}) {
    durations[name] = DurationSchema();
    names.push_back(name);
  }
  return Operation(kV2Tag, "What models have done since they were loaded")
      .Answers("One for each version.", "application/json",
               ObjectSchema(
                   {{"model_stats",
                     ListSchema(ObjectSchema({{"name", OfType("string")},
                                              {"version", OfType("string")},
                                              {"last_inference", OfType("integer")},
                                              {"inference_count", OfType("integer")},
                                              {"execution_count", OfType("integer")},
                                              {"inference_stats", ObjectSchema(durations, names)},
                                              {"batch_stats", OfType("array")}},
                                             {"name", "version", "inference_stats"}))}},
                   {"model_stats"}));
}

}  // namespace bertie::serve
