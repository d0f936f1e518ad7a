#include "serve/protocols/docs.h"

#include <memory>
#include <utility>

#include "serve/call.h"
#include "serve/openapi/document.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"

namespace bertie::serve {

std::vector<Route> DocsProtocol::Routes() {
  const auto json = [this](const std::shared_ptr<Call>& call) {
    call->Respond({.content_type = "application/json", .body = formats::DumpJson(Document())});
  };
  const auto page = [this](const std::shared_ptr<Call>& call) {
    call->Respond({.content_type = "text/html; charset=utf-8", .body = OpenApiPage(Document())});
  };
  return {GetRoute("/openapi.json", json, DescribeOpenApi),
          GetRoute("/api-doc/openapi.json", json, DescribeOpenApi),
          GetRoute("/docs", page, DescribeDocs)};
}

http::Response DocsProtocol::Refuse(const http::Refusal& refusal,
                                    std::string_view request_id) const {
  return OwnRefusal(refusal, request_id);
}

formats::Json DocsProtocol::Document() const {
  DocModel example{.max_texts = context_.options.max_texts};
  auto model = context_.models.Find();
  if (!model.ok()) {
    if (const auto all = context_.models.List(); !all.empty()) model = all.front();
  }
  if (model.ok()) {
    example.name = (*model)->id.name;
    example.version = (*model)->id.version;
    example.labels = (*model)->scheme.labels;
    example.max_length = (*model)->max_length;
  }
  return OpenApiDocument(routes_, example, context_.options.version);
}

}  // namespace bertie::serve
