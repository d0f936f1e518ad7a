#include "accelerator/client_errors.h"

namespace bertie::accelerator {
namespace {

// Of those that FromStatus has no words of its own for.
ErrorCode CodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
      return ErrorCode::kCancelled;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return ErrorCode::kResourceExhausted;
    case grpc::StatusCode::NOT_FOUND:
      return ErrorCode::kNotFound;
    case grpc::StatusCode::DATA_LOSS:
      return ErrorCode::kInvalidData;
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return ErrorCode::kInternal;
    default:
      return ErrorCode::kInvalidArgument;
  }
}

}  // namespace

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  constexpr size_t kMost = 500;
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return text;
}

Error FromStatus(const std::string& address, const grpc::Status& status) {
  const std::string where = "the accelerator at " + address;
  const std::string said = OneLine(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return {ErrorCode::kUnavailable, where + " cannot be reached (" + said +
                                           "); is 'bertie accelerator' running there, with TLS on "
                                           "both ends or on neither?"};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {ErrorCode::kDeadlineExceeded, where + " did not answer in time"};
    case grpc::StatusCode::UNAUTHENTICATED:
      return {ErrorCode::kInvalidArgument,
              where + " does not take this token (" + said +
                  "); give the one it was started with, by --accelerator-token-file or "
                  "BERTIE_ACCELERATOR_TOKEN"};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {ErrorCode::kUnsupported,
              where + " is no accelerator of this version of bertie (" + said + ")"};
    default:
      return {CodeOf(status.error_code()), where + ": " + said};
  }
}

ErrorCode CodeNamed(const std::string& name) {
  for (const ErrorCode code :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kInvalidData,
        ErrorCode::kUnsupported, ErrorCode::kResourceExhausted, ErrorCode::kIo,
        ErrorCode::kUnavailable, ErrorCode::kDeadlineExceeded, ErrorCode::kCancelled}) {
    if (name == ErrorCodeName(code)) return code;
  }
  return ErrorCode::kInternal;
}

}  // namespace bertie::accelerator
