// What an accelerator's refusals and failures are called here.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/status.h"

namespace bertie::accelerator {

// Text from outside, fit for a line of a log: without control characters, and cut at 500 bytes.
std::string OneLine(std::string text);

// Of a call to `address` that ended with this, which is not OK: says what to do.
Error FromStatus(const std::string& address, const grpc::Status& status);

// The code that ErrorCodeName calls so; kInternal for names that it does not give.
ErrorCode CodeNamed(const std::string& name);

}  // namespace bertie::accelerator
