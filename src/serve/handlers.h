// Requests to the protocols' routes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/handler.h"
#include "serve/context.h"
#include "serve/route_table.h"

namespace bertie::serve {

// Finds the route, refuses what no route takes in the form of the protocol that the path belongs
// to, and counts. Both must outlive it.
class Handlers : public http::Handler {
 public:
  Handlers(ServeContext& context, const RouteTable& routes) : context_(context), routes_(routes) {}

  std::optional<http::Response> OnHead(const http::RequestHead& head) override;
  void OnRequest(http::Request request, std::shared_ptr<http::Exchange> exchange) override;
  http::Response OnRefusal(const http::Refusal& refusal) override;

 private:
  http::Response Refuse(const Protocol& protocol, std::string_view route,
                        const http::Refusal& refusal);
  http::Response Options(const http::RequestHead& head);

  ServeContext& context_;
  const RouteTable& routes_;
};

}  // namespace bertie::serve
