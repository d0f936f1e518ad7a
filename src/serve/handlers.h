// Requests to the protocols' routes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/handler.h"
#include "serve/context.h"
#include "serve/request_facts.h"
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
  struct Place {  // where a refusal belongs
    const Protocol& protocol;
    std::string_view route;
  };
  http::Response Refuse(const Place& place, const http::Refusal& refusal,
                        const RequestFacts& facts);
  // Counts and logs what no Call answers.
  http::Response Finish(std::string_view route, http::Response response, const RequestFacts& facts);
  std::optional<http::Refusal> Check(const http::RequestHead& head, const RouteMatch& match) const;
  http::Response Options(const http::RequestHead& head);

  ServeContext& context_;
  const RouteTable& routes_;
};

}  // namespace bertie::serve
