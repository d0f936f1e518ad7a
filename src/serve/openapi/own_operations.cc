#include <string>

#include "serve/openapi/operations.h"

namespace bertie::serve {
namespace {

using formats::Json;

constexpr const char* kTag = "SageMaker and Hugging Face";
constexpr const char* kServerTag = "Server";

Json PairSchema() {
  return ObjectSchema({{"text", OfType("string")}, {"text_pair", {{"type", {"string", "null"}}}}},
                      {"text"}, false);
}

Json ParametersSchema(const DocModel& model) {
  return ObjectSchema(
      {{"top_k", {{"type", {"integer", "null"}}, {"minimum", 1}, {"maximum", 1'000'000}}},
       {"return_all_scores", {{"type", {"boolean", "null"}}}},
       {"function_to_apply", {{"enum", {"none", "sigmoid", "softmax", nullptr}}}},
       {"truncation", {{"enum", {true, false, nullptr, "longest_first", "do_not_truncate"}}}},
       {"max_length",
        {{"type", {"integer", "null"}}, {"minimum", 4}, {"maximum", model.max_length}}},
       {"padding", Json::object()},
       {"batch_size", Json::object()}},
      Json::array(), false);
}

Json InputsSchema(const DocModel& model) {
  const Json list = ListSchema(AnyOf({OfType("string"), PairSchema()}), 1);
  return ObjectSchema({{"inputs", AnyOf({OfType("string"), PairSchema(), list})},
                       {"parameters", AnyOf({ParametersSchema(model), OfType("null")})},
                       {"options", Json::object()}},
                      {"inputs"}, false);
}

Json InstancesSchema() {
  const Json list = ListSchema(AnyOf({OfType("string"), PairSchema()}), 1);
  return ObjectSchema({{"instances", list}}, {"instances"}, false);
}

Json AnswerSchema(const DocModel& model) {
  const Json logits = ListSchema(ListSchema(OfType("number")));
  const Json score = ScoreSchema(model);
  return AnyOf({logits, score, ListSchema(score), ListSchema(ListSchema(score)),
                ObjectSchema({{"predictions", logits}}, {"predictions"}, false)});
}

Json Page(const char* tag, const char* summary, const char* type) {
  return Operation(tag, summary).Answers("The page.", type, OfType("string"));
}

}  // namespace

Json OwnRefusalContent() {
  return {{"application/json",
           {{"schema", ObjectSchema({{"code", OfType("integer")},
                                     {"type", OfType("string")},
                                     {"message", OfType("string")}},
                                    {"code", "type", "message"})}}}};
}

Json DescribeHealth(const DocModel&) {
  return Operation(kServerTag, "Whether requests are answered",
                   "503 while the model is being loaded, while nobody is there to compute, and "
                   "once the server is to end.")
      .Answers("Requests are answered.");
}

Json DescribeLive(const DocModel&) {
  return Operation(kServerTag, "Whether the server lives").Answers("It does.");
}

Json DescribeMetrics(const DocModel&) {
  return Page(kServerTag, "Metrics for Prometheus", "text/plain; version=0.0.4");
}

Json DescribeInvocations(const DocModel& model) {
  const Json example = {{"inputs", {"first text", "second text"}},
                        {"parameters", {{"top_k", nullptr}}}};
  const Json scores = ExampleScores(model);
  return Operation(kTag, "Classify texts",
                   "\"text\" and [\"text\", ...] are answered with raw logits; {\"inputs\": ...} "
                   "with labels and scores, in the shapes of transformers' pipeline; "
                   "{\"instances\": ...} with {\"predictions\": ...}; csv with csv or JSON, as "
                   "Accept says. A request holds at most " +
                       std::to_string(model.max_texts) + " texts.")
      .Takes("application/json",
             AnyOf({OfType("string"), ListSchema(OfType("string"), 1), InputsSchema(model),
                    InstancesSchema()}),
             example)
      .Takes("text/csv", Json::object(), "inputs\nfirst text\nsecond text\n")
      .Answers("Logits, or labels and scores.", "application/json", AnswerSchema(model),
               Json::array({scores, scores}))
      .Answers("Logits, or labels and scores.", "text/csv", OfType("string"),
               "label,score\n" + model.labels.front() + ",0.75\n");
}

Json DescribeOpenApi(const DocModel&) {
  return Operation(kServerTag, "This document")
      .Answers("OpenAPI 3.1.", "application/json", OfType("object"));
}

Json DescribeDocs(const DocModel&) {
  return Page(kServerTag, "This document, for people", "text/html; charset=utf-8");
}

}  // namespace bertie::serve
