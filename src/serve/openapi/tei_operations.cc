#include <string>

#include "serve/openapi/operations.h"

namespace bertie::serve {
namespace {

using formats::Json;

constexpr const char* kTeiTag = "text-embeddings-inference";

Json PairOfTexts() {
  Json pair = ListSchema(OfType("string"), 2);
  pair["maxItems"] = 2;
  return pair;
}

Json OneText() {
  Json one = ListSchema(OfType("string"), 1);
  one["maxItems"] = 1;
  return one;
}

Json WithOptions(Json properties) {
  properties["truncate"] = {{"type", {"boolean", "null"}}};
  properties["truncation_direction"] = {{"enum", {"Left", "Right"}}};
  properties["raw_scores"] = OfType("boolean");
  return properties;
}

Json CountSchema(const char* type = "integer") { return {{"type", type}, {"minimum", 0}}; }

Json PredictSchema() {
  const Json batch = ListSchema(AnyOf({OneText(), PairOfTexts()}), 1);
  return ObjectSchema(
      WithOptions({{"inputs", AnyOf({OfType("string"), OneText(), PairOfTexts(), batch})}}),
      {"inputs"});
}

Json PredictionSchema(const DocModel& model) {
  const Json scores = ListSchema(ScoreSchema(model));
  return AnyOf({scores, ListSchema(scores)});
}

Json RerankSchema() {
  return ObjectSchema(WithOptions({{"query", OfType("string")},
                                   {"texts", ListSchema(OfType("string"), 1)},
                                   {"return_text", OfType("boolean")}}),
                      {"query", "texts"});
}

Json RanksSchema() {
  return ListSchema(ObjectSchema(
      {{"index", CountSchema()}, {"text", OfType("string")}, {"score", OfType("number")}},
      {"index", "score"}));
}

}  // namespace

Json TeiRefusalContent() {
  return {{"application/json",
           {{"schema", ObjectSchema({{"error", OfType("string")},
                                     {"error_type",
                                      {{"enum",
                                        {"Unhealthy", "Backend", "Overloaded", "Validation",
                                         "Tokenizer", "Empty"}}}}},
                                    {"error", "error_type"})}}},
          {"text/plain; charset=utf-8", {{"schema", OfType("string")}}}};
}

Json DescribeTeiPredict(const DocModel& model) {
  return Operation(kTeiTag, "Every label of a text, best first",
                   "\"a\" is one text, [\"a\", \"b\"] one pair of texts, [[\"a\"], [\"b\", \"c\"]] "
                   "a batch of a text and a pair, of at most " +
                       std::to_string(model.max_texts) + " texts.")
      .Takes("application/json", PredictSchema(), {{"inputs", "a text"}})
      .Answers("Scores.", "application/json", PredictionSchema(model), ExampleScores(model));
}

Json DescribeTeiRerank(const DocModel&) {
  return Operation(kTeiTag, "Texts by their score beside a query",
                   "For models with one label; others are refused with 424.")
      .Takes("application/json", RerankSchema(),
             {{"query", "what is it?"}, {"texts", {"a text", "another"}}})
      .Answers("Best first.", "application/json", RanksSchema(),
               Json::array({{{"index", 1}, {"score", 0.75}}, {{"index", 0}, {"score", 0.25}}}));
}

Json DescribeVertex(const DocModel& model) {
  const Json instance = AnyOf({OfType("string"), PredictSchema(), RerankSchema()});
  const Json prediction = AnyOf({PredictionSchema(model), RanksSchema()});
  return Operation("Google Vertex AI", "One prediction for each instance",
                   "An instance is a text, or a body of /predict or /rerank, and its prediction "
                   "that route's answer. \"parameters\" are the options of instances that have "
                   "none of their own. All instances together have at most " +
                       std::to_string(model.max_texts) + " texts.")
      .Takes("application/json",
             ObjectSchema({{"instances", ListSchema(instance, 1)},
                           {"parameters", AnyOf({ObjectSchema(WithOptions(Json::object()), {}),
                                                 OfType("null")})}},
                          {"instances"}),
             {{"instances", {"a text", {{"inputs", "another"}}}}})
      .Answers("Predictions, in the order of the instances.", "application/json",
               ObjectSchema({{"predictions", ListSchema(prediction)}}, {"predictions"}),
               {{"predictions", Json::array({ExampleScores(model), ExampleScores(model)})}});
}

Json DescribeTeiTokenize(const DocModel&) {
  return Operation(kTeiTag, "Texts to tokens",
                   "start and stop count characters of the text; special tokens have none.")
      .Takes("application/json",
             ObjectSchema({{"inputs", AnyOf({OfType("string"), ListSchema(OfType("string"), 1)})},
                           {"add_special_tokens", OfType("boolean")}},
                          {"inputs"}),
             {{"inputs", "a text"}})
      .Answers("One list for each text.", "application/json",
               ListSchema(ListSchema(ObjectSchema({{"id", CountSchema()},
                                                   {"text", OfType("string")},
                                                   {"special", OfType("boolean")},
                                                   {"start", {{"type", {"integer", "null"}}}},
                                                   {"stop", {{"type", {"integer", "null"}}}}},
                                                  {"id", "text", "special", "start", "stop"}))));
}

Json DescribeTeiDecode(const DocModel&) {
  const Json ids = ListSchema({{"type", "integer"}, {"minimum", 0}, {"maximum", 4294967295U}});
  return Operation(kTeiTag, "Token ids to texts")
      .Takes("application/json",
             ObjectSchema({{"ids", AnyOf({ids, ListSchema(ids, 1)})},
                           {"skip_special_tokens", OfType("boolean")}},
                          {"ids"}),
             {{"ids", {1, 2, 3}}})
      .Answers("One text for each list.", "application/json", ListSchema(OfType("string")),
               Json::array({"a text"}));
}

Json DescribeTeiInfo(const DocModel&) {
  const Json count = CountSchema();
  return Operation(kTeiTag, "What is served, and its limits")
      .Answers("As TEI tells of itself.", "application/json",
               ObjectSchema({{"model_id", OfType("string")},
                             {"model_sha", {{"type", {"string", "null"}}}},
                             {"model_dtype", OfType("string")},
                             {"model_type", OfType("object")},
                             {"max_input_length", count},
                             {"max_batch_tokens", count},
                             {"max_client_batch_size", count},
                             {"auto_truncate", OfType("boolean")},
                             {"version", OfType("string")}},
                            {"model_id", "model_dtype", "model_type", "max_input_length",
                             "max_client_batch_size", "auto_truncate", "version"}));
}

}  // namespace bertie::serve
