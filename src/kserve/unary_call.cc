#include "kserve/unary_call.h"

#include <string>
#include <utility>

#include "base/ascii.h"
#include "kserve/convert.h"
#include "serve/request_facts.h"

namespace bertie::kserve {
namespace {

http::RequestHead ReadMetadata(const grpc::CallbackServerContext& call) {
  http::RequestHead head;
  head.method = "gRPC";
  for (const auto& [name, value] : call.client_metadata()) {
    head.fields.push_back({{name.data(), name.size()}, {value.data(), value.size()}});
  }
  return head;
}

}  // namespace

CallFacts::CallFacts(grpc::CallbackServerContext& call)
    : head(ReadMetadata(call)), request(serve::ReadFacts(head, {})) {
  // gRPC takes names in lower case only.
  for (const http::Field& field : request.fields) {
    call.AddInitialMetadata(AsciiLower(field.name), field.value);
  }
}

void EndRecord(serve::RequestRecord& record, int status, const grpc::Status& grpc_status) {
  record.Count(status);
  record.Log(status, StatusName(grpc_status.error_code()));
}

grpc::Status EndRefused(const serve::ServeContext& context, serve::RequestRecord& record,
                        const http::Refusal& refusal) {
  if (refusal.status == 500) {
    context.Log(std::string(refusal.type) + ": " + refusal.message + " (request " +
                record.facts().request_id + ")");
  }
  const grpc::Status status = ToStatus(refusal);
  EndRecord(record, refusal.status, status);
  return status;
}

UnaryCall::UnaryCall(serve::ServeContext& context, grpc::CallbackServerContext& call,
                     std::string_view route, serve::Access access)
    : UnaryCall(context, CallFacts(call), route, access) {}

UnaryCall::UnaryCall(serve::ServeContext& context, CallFacts facts, std::string_view route,
                     serve::Access access)
    : counted_(context),
      context_(context),
      closed_(serve::CheckAccess(context.options.keys, access, facts.head)),
      record_(context, route, std::move(facts.request)) {}

void UnaryCall::Answer() {
  EndRecord(record_, 200, grpc::Status::OK);
  Finish(grpc::Status::OK);
}

void UnaryCall::Refuse(const http::Refusal& refusal) {
  Finish(EndRefused(context_, record_, refusal));
}

}  // namespace bertie::kserve
