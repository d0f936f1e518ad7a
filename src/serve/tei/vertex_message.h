// Bodies of Google Vertex AI's containers for predictions, around TEI's: {"instances": [...],
// "parameters": {...}} and {"predictions": [...]}
// (cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "serve/answer.h"
#include "serve/tei/tei_message.h"

namespace bertie::serve {

struct VertexInstance {
  std::variant<TeiPredict, TeiRerank> body;  // the former without its texts
  size_t texts = 0;                          // how many of VertexRequest's are its own
};

struct VertexRequest {
  std::vector<VertexInstance> instances;  // at least one
  std::vector<TextInput> texts;           // of all, in order
  size_t query_bytes = 0;  // of queries, each counted with every text it is read with
};

// An instance is a text or a body of TEI's /predict, or of /rerank where it has "query" and
// "texts". "parameters" are TEI's options, of all instances that do not say otherwise. What is
// wrong with an instance is never PlainText; a wrong form is InvalidInput (422). max_texts: of all
// instances together.
TeiParsed<VertexRequest> ParseVertexRequest(std::string_view body, size_t max_texts);

// Whether an instance is one of /rerank.
bool AsksForRanks(const VertexRequest& request);

// "instances[3]: ", the one that this text is of.
std::string VertexInstanceOfText(const VertexRequest& request, size_t text);

// logits: [texts, labels]. One prediction for each instance, in the form of TEI's own answer.
// kInternal where a logit is not finite.
Result<std::string> FormatVertexPredictions(const VertexRequest& request,
                                            std::span<const float> logits,
                                            const LabelScheme& scheme);

}  // namespace bertie::serve
