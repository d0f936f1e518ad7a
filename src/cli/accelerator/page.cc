#include <optional>
#include <string>
#include <utility>

#include "cli/accelerator/accelerator.h"
#include "cli/accelerator/page_html.h"
#include "http/handler.h"

namespace bertie::cli {
namespace {

// The page's own script and style, and its own address: nothing from anywhere else.
constexpr const char* kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

class PageHandler final : public http::Handler {
 public:
  explicit PageHandler(StatusPage::Read read) : read_(std::move(read)) {}

  std::optional<http::Response> OnHead(const http::RequestHead& head) override {
    if (head.path != "/" && head.path != "/status.json" && head.path != "/metrics") {
      return OnRefusal({404, "NotFound", "found here: /, /status.json, /metrics"});
    }
    if (head.method != "GET" && head.method != "HEAD") {
      http::Response response = OnRefusal({405, "MethodNotAllowed", "GET is what this page takes"});
      response.fields.push_back({"Allow", "GET, HEAD"});
      return response;
    }
    return std::nullopt;
  }

  void OnRequest(http::Request request, std::shared_ptr<http::Exchange> exchange) override {
    http::Response response;
    response.fields = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
    if (request.head.path == "/") {
      response.content_type = "text/html; charset=utf-8";
      response.fields.push_back({"Content-Security-Policy", kPolicy});
      response.body = kAcceleratorPage;
    } else if (request.head.path == "/metrics") {
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = StatusMetrics(read_());
    } else {
      response.content_type = "application/json";
      response.body = Dump(StatusJson(read_())) + "\n";
    }
    exchange->Respond(std::move(response));
  }

  http::Response OnRefusal(const http::Refusal& refusal) override {
    http::Response response;
    response.status = refusal.status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = refusal.message + "\n";
    return response;
  }

 private:
  const StatusPage::Read read_;
};

}  // namespace

struct StatusPage::Impl {
  explicit Impl(Read read) : handler(std::move(read)) {}

  PageHandler handler;
  std::unique_ptr<http::Server> server;
};

StatusPage::StatusPage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatusPage::~StatusPage() = default;

Result<std::unique_ptr<StatusPage>> StatusPage::Listen(const Address& address, Read read) {
  auto impl = std::make_unique<Impl>(std::move(read));
  http::ServerOptions options;
  options.host = address.host;
  options.port = address.port;
  options.max_connections = 64;
  options.limits.max_body_bytes = 1024;
  BERTIE_ASSIGN_OR_RETURN(impl->server, http::Server::Listen(options, impl->handler));
  impl->server->Start();
  return std::unique_ptr<StatusPage>(new StatusPage(std::move(impl)));
}

std::string StatusPage::address() const { return impl_->server->address(); }

}  // namespace bertie::cli
