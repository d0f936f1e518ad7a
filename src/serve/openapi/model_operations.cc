#include "serve/openapi/operations.h"

namespace bertie::serve {
namespace {

using formats::Json;

constexpr const char* kModelsTag = "Models";
constexpr const char* kAdministrators = "For administrators (--admin-token-file).";

Json EntrySchema() {
  return ObjectSchema({{"modelName", OfType("string")}, {"modelUrl", OfType("string")}},
                      {"modelName", "modelUrl"});
}

Json EntryOf(const DocModel& model) {
  return {{"modelName", model.name}, {"modelUrl", "/models/" + model.name}};
}

// A route of administrators' that takes an object and answers with one.
Json Administration(const char* summary) {
  return Operation(kModelsTag, summary, kAdministrators)
      .Takes("application/json", OfType("object"), Json::object())
      .Answers("Done.", "application/json", OfType("object"));
}

}  // namespace

Json DescribeModelLoad(const DocModel& model) {
  return Operation(kModelsTag, "Load a model from a folder of this machine",
                   "As SageMaker's containers with several models; 409 where the name is taken, "
                   "507 where there is no memory for it.")
      .Takes("application/json",
             ObjectSchema({{"model_name", OfType("string")}, {"url", OfType("string")}},
                          {"model_name", "url"}),
             {{"model_name", model.name}, {"url", "/models/" + model.name}})
      .Answers("It is served.", "application/json", OfType("object"));
}

Json DescribeModelList(const DocModel& model) {
  return Operation(kModelsTag, "The models that are served")
      .Answers("A page of them.", "application/json",
               ObjectSchema({{"models", ListSchema(EntrySchema())},
                             {"nextPageToken", {{"type", {"string", "null"}}}}},
                            {"models"}),
               {{"models", Json::array({EntryOf(model)})}});
}

Json DescribeModelEntry(const DocModel& model) {
  return Operation(kModelsTag, "One model")
      .Answers("The model.", "application/json", OfType("object"), EntryOf(model));
}

Json DescribeModelUnload(const DocModel&) {
  return Operation(kModelsTag, "Unload a model", "Requests under way are answered.")
      .Answers("It is no more.", "application/json", OfType("object"));
}

Json DescribeRepositoryIndex(const DocModel& model) {
  return Operation(kModelsTag, "Every model and version, and its state", kAdministrators)
      .Takes("application/json", ObjectSchema({{"ready", OfType("boolean")}}, Json::array()),
             Json::object())
      .Answers("All, or those that are ready.", "application/json",
               ListSchema(ObjectSchema({{"name", OfType("string")},
                                        {"version", OfType("string")},
                                        {"state", OfType("string")},
                                        {"reason", OfType("string")}},
                                       {"name", "version", "state"})),
               Json::array({{{"name", model.name},
                             {"version", model.version},
                             {"state", "READY"},
                             {"reason", ""}}}));
}

Json DescribeRepositoryLoad(const DocModel&) {
  return Administration("Load a model's versions anew");
}

Json DescribeRepositoryUnload(const DocModel&) { return Administration("Unload a model"); }

}  // namespace bertie::serve
