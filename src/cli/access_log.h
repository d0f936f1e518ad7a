// One line for each request that a server answered.
#pragma once

#include <string>

#include "cli/service.h"
#include "serve/context.h"

namespace bertie::cli {

// JSON: {"time": "2026-01-01T00:00:00.000Z", "level": "info", "message": "request", "method",
// "route", "status", "seconds", "request_id", and where there are some "grpc_status", "model",
// "version", "texts", "tokens", "trace_id"}. Text: "bertie: POST /invocations 200 1.234 ms
// model=m/1 texts=1 tokens=7 id=...". With the line's end.
std::string AccessLine(const serve::AccessRecord& record, LogFormat format);

}  // namespace bertie::cli
