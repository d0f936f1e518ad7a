#include "serve/tei/vertex_message.h"

#include <optional>
#include <utility>

#include "formats/json.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;

std::string InstanceName(size_t index) { return "instances[" + std::to_string(index) + "]: "; }

// TEI has 413 for an instance of a wrong form; 422 is what it has for such a body.
Refusal OfInstance(size_t index, Refusal refusal) {
  const char* type = refusal.status == 422 ? "InvalidInput" : refusal.type;
  return {refusal.status, type, InstanceName(index) + refusal.message};
}

MaybeRefusal TakeParameters(const Json& body, TeiOptions& out) {
  const auto found = body.find("parameters");
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_object()) return WrongTeiForm("parameters", *found, "an object or null");
  MaybeRefusal refusal = ReadTeiOptions(*found, out);
  if (refusal) refusal->message = "parameters." + refusal->message;
  return refusal;
}

// max_texts: of all instances.
MaybeRefusal TakeRerank(Json& instance, size_t max_texts, const TeiOptions& options,
                        VertexRequest& out) {
  TeiRerank rerank;
  rerank.options = options;
  if (auto refusal = ReadTeiRerank(instance, max_texts, rerank)) return refusal;
  const size_t texts = rerank.texts.size();
  if (auto refusal = CheckTeiBatchSize(out.texts.size() + texts, max_texts)) return refusal;
  out.query_bytes += rerank.query.size() * texts;
  if (auto refusal = CheckTeiQueryBytes(out.query_bytes)) return refusal;
  for (const std::string& text : rerank.texts) out.texts.push_back({rerank.query, text});
  out.instances.push_back({std::move(rerank), texts});
  return std::nullopt;
}

MaybeRefusal TakePredict(Json& instance, size_t max_texts, const TeiOptions& options,
                         VertexRequest& out) {
  TeiPredict predict;
  predict.options = options;
  if (auto refusal = ReadTeiPredict(instance, max_texts, predict)) return refusal;
  const size_t texts = predict.texts.size();
  if (auto refusal = CheckTeiBatchSize(out.texts.size() + texts, max_texts)) return refusal;
  for (TextInput& text : std::exchange(predict.texts, {})) out.texts.push_back(std::move(text));
  out.instances.push_back({std::move(predict), texts});
  return std::nullopt;
}

MaybeRefusal TakeInstance(Json& instance, size_t max_texts, const TeiOptions& options,
                          VertexRequest& out) {
  if (instance.is_string()) {
    Json text = std::move(instance);
    instance = Json::object();
    instance["inputs"] = std::move(text);
  }
  if (!instance.is_object()) {
    return WrongTeiForm("the instance", instance, "a string or an object with \"inputs\"");
  }
  if (instance.contains("query") && instance.contains("texts")) {
    return TakeRerank(instance, max_texts, options, out);
  }
  return TakePredict(instance, max_texts, options, out);
}

MaybeRefusal TakeInstances(Json& body, size_t max_texts, VertexRequest& out) {
  Json* instances = nullptr;
  if (auto refusal = FindTeiField(body, "instances", instances)) return refusal;
  if (!instances->is_array()) return WrongTeiForm("instances", *instances, "a list");
  if (instances->empty()) return EmptyTeiList("instances");
  if (auto refusal = CheckTeiBatchSize(instances->size(), max_texts)) return refusal;
  TeiOptions options;
  if (auto refusal = TakeParameters(body, options)) return refusal;
  for (Json& instance : *instances) {
    if (auto refusal = TakeInstance(instance, max_texts, options, out)) {
      return OfInstance(out.instances.size(), *std::move(refusal));
    }
  }
  return std::nullopt;
}

}  // namespace

TeiParsed<VertexRequest> ParseVertexRequest(std::string_view body, size_t max_texts) {
  return ParseTeiBody<VertexRequest>(body, [max_texts](Json& object, VertexRequest& out) {
    return TakeInstances(object, max_texts, out);
  });
}

bool AsksForRanks(const VertexRequest& request) {
  for (const VertexInstance& instance : request.instances) {
    if (std::holds_alternative<TeiRerank>(instance.body)) return true;
  }
  return false;
}

std::string VertexInstanceOfText(const VertexRequest& request, size_t text) {
  size_t index = 0;
  for (size_t end = 0; index < request.instances.size(); ++index) {
    end += request.instances[index].texts;
    if (text < end) break;
  }
  return InstanceName(index);
}

Result<std::string> FormatVertexPredictions(const VertexRequest& request,
                                            std::span<const float> logits,
                                            const LabelScheme& scheme) {
  std::string out;
  size_t begin = 0;
  for (const VertexInstance& instance : request.instances) {
    const size_t count = instance.texts * scheme.labels.size();
    const auto own = logits.subspan(begin, count);
    begin += count;
    const auto* rerank = std::get_if<TeiRerank>(&instance.body);
    BERTIE_ASSIGN_OR_RETURN(
        const std::string prediction,
        rerank ? FormatTeiRanks(*rerank, own, scheme)
               : FormatTeiPredictions(std::get<TeiPredict>(instance.body), own, scheme));
    out += (out.empty() ? "" : ",") + prediction;
  }
  return "{\"predictions\":[" + out + "]}";
}

}  // namespace bertie::serve
