// What the Open Inference Protocol tells of a server and its models, beside their answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "serve/context.h"

namespace bertie::serve {

inline constexpr std::string_view kV2Platform = "bertie";

// The extensions of Triton's that are spoken over HTTP, or over gRPC.
enum class V2Transport { kHttp, kGrpc };
std::vector<std::string> V2Extensions(V2Transport transport);

// All versions of the model's name.
std::vector<std::string> V2Versions(const ServeContext& context, const LoadedModel& model);

// {"name", "versions", "platform", "inputs", "outputs"}.
formats::Json V2Metadata(const ServeContext& context, const LoadedModel& model);
// Why the model does not answer, if so: it is not there, or nobody is there to compute.
std::optional<http::Refusal> V2ModelNotReady(const ServeContext& context, std::string_view name,
                                             std::string_view version);
// Triton's ModelConfig, as far as it says something here.
formats::Json V2Config(const ServeContext& context, const LoadedModel& model);
// One of Triton's ModelStatistics.
formats::Json V2Statistics(const LoadedModel& model);

struct V2Duration {
  uint64_t count = 0;
  uint64_t ns = 0;
};
// A model's durations by Triton's names for them, "success", "fail", ..., for both transports.
std::vector<std::pair<const char*, V2Duration>> V2Durations(const ModelTotals& totals);
uint64_t V2Milliseconds(std::chrono::system_clock::time_point time);

}  // namespace bertie::serve
