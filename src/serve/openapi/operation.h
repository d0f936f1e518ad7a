// What a route tells of itself for /openapi.json: an operation object of OpenAPI 3.1.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"

namespace bertie::serve {

// What the examples and the limits of a document are of.
struct DocModel {
  std::string name = "model";
  std::string version = "1";
  std::vector<std::string> labels = {"LABEL_0", "LABEL_1"};
  size_t max_texts = 1024;
  size_t max_length = 512;
};

// Builds an operation object piece by piece.
class Operation {
 public:
  Operation(std::string_view tag, std::string_view summary, std::string_view description = {});

  // A body that the route takes; several types by several calls.
  Operation& Takes(std::string_view media_type, formats::Json schema, formats::Json example);
  // The answer with status 200. media_type "": an empty body.
  Operation& Answers(std::string_view description, std::string_view media_type = {},
                     formats::Json schema = formats::Json::object(),
                     formats::Json example = nullptr);

  // NOLINTNEXTLINE(google-explicit-constructor): what a describer returns
  operator formats::Json() const { return json_; }

 private:
  formats::Json json_;
};

// Pieces of JSON Schema (2020-12).
formats::Json ObjectSchema(formats::Json properties, formats::Json required,
                           bool others_allowed = true);
formats::Json ListSchema(formats::Json items, size_t least = 0);
formats::Json AnyOf(formats::Json schemas);
formats::Json OfType(const char* type);
// Labels with scores that go down, as an example: [{"label", "score"}, ...].
formats::Json ExampleScores(const DocModel& model);
// {"label": ..., "score": ...}.
formats::Json ScoreSchema(const DocModel& model);

}  // namespace bertie::serve
