#include "serve/openapi/operation.h"

#include <utility>

namespace bertie::serve {

using formats::Json;

Operation::Operation(std::string_view tag, std::string_view summary, std::string_view description)
    : json_{{"tags", Json::array({tag})}, {"summary", summary}, {"responses", Json::object()}} {
  if (!description.empty()) json_["description"] = description;
}

Operation& Operation::Takes(std::string_view media_type, Json schema, Json example) {
  Json& body = json_["requestBody"];
  body["required"] = true;
  body["content"][std::string(media_type)] = {{"schema", std::move(schema)},
                                              {"example", std::move(example)}};
  return *this;
}

Operation& Operation::Answers(std::string_view description, std::string_view media_type,
                              Json schema, Json example) {
  Json& answer = json_["responses"]["200"];
  answer["description"] = description;
  if (media_type.empty()) return *this;
  Json& content = answer["content"][std::string(media_type)];
  content["schema"] = std::move(schema);
  if (!example.is_null()) content["example"] = std::move(example);
  return *this;
}

Json ObjectSchema(Json properties, Json required, bool others_allowed) {
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (!others_allowed) schema["additionalProperties"] = false;
  return schema;
}

Json ListSchema(Json items, size_t least) {
  Json schema = {{"type", "array"}, {"items", std::move(items)}};
  if (least > 0) schema["minItems"] = least;
  return schema;
}

Json AnyOf(Json schemas) { return {{"anyOf", std::move(schemas)}}; }

Json OfType(const char* type) { return {{"type", type}}; }

Json ExampleScores(const DocModel& model) {
  Json scores = Json::array();
  double left = 1;
  for (size_t i = 0; i < model.labels.size(); ++i) {
    const double score = i + 1 < model.labels.size() ? left * 0.75 : left;
    scores.push_back({{"label", model.labels[i]}, {"score", score}});
    left -= score;
  }
  return scores;
}

Json ScoreSchema(const DocModel& model) {
  return ObjectSchema(
      {{"label", {{"type", "string"}, {"enum", model.labels}}}, {"score", OfType("number")}},
      {"label", "score"});
}

}  // namespace bertie::serve
