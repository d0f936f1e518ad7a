// GET /openapi.json, at TEI's /api-doc/openapi.json too, and GET /docs.
#pragma once

#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/openapi/operation.h"
#include "serve/route.h"
#include "serve/route_table.h"

namespace bertie::serve {

class DocsProtocol : public Protocol {
 public:
  // The table, which may be filled later, outlives this.
  DocsProtocol(ServeContext& context, const RouteTable& routes)
      : context_(context), routes_(routes) {}

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;

 private:
  formats::Json Document() const;

  ServeContext& context_;
  const RouteTable& routes_;
};

}  // namespace bertie::serve
