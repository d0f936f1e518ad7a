#include "http/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "http/listening_test.h"
#include "http/server.h"

namespace bertie::http {
namespace {

using std::chrono::milliseconds;

// Gives back the body and the content type; /close ends the connection after it.
class EchoBack : public Handler {
 public:
  std::optional<Response> OnHead(const RequestHead& head) override {
    if (head.path == "/no") return OnRefusal({404, "NotFound", "no such path"});
    return std::nullopt;
  }
  void OnRequest(Request request, std::shared_ptr<Exchange> exchange) override {
    ++requests;
    const std::string* type = request.head.Find("content-type");
    exchange->Respond({.content_type = type == nullptr ? "" : *type,
                       .body = std::move(request.body),
                       .close = request.head.path == "/close"});
  }
  Response OnRefusal(const Refusal& refusal) override {
    return {.status = refusal.status, .content_type = "text/plain", .body = refusal.message};
  }

  std::atomic<int> requests{0};
};

class ClientTest : public ListeningTest<EchoBack> {
 protected:
  Client MakeClient() { return Client({.host = "127.0.0.1", .port = server_->port()}); }
};

TEST_F(ClientTest, SendsAndReceivesOnOneConnection) {
  Client client = MakeClient();
  for (int i = 0; i < 20; ++i) {
    const std::string text = "request " + std::to_string(i);
    const auto answer = client.Send({.method = "POST",
                                     .target = "/echo",
                                     .content_type = "text/plain; charset=utf-8",
                                     .body = text});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, text);
    ASSERT_NE(answer->Find("CONTENT-TYPE"), nullptr);
    EXPECT_EQ(*answer->Find("content-type"), "text/plain; charset=utf-8");
    EXPECT_EQ(server_->connections(), 1U);
  }
  EXPECT_EQ(handler_.requests, 20);
}

TEST_F(ClientTest, BodiesOfEverySize) {
  Client client = MakeClient();
  for (const size_t size : {0, 1, 100, 16 * 1024, 16 * 1024 + 1, 3'000'000}) {
    const std::string text(size, 'x');
    const auto answer = client.Send({.method = "POST", .target = "/echo", .body = text});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->body, text);
  }
}

TEST_F(ClientTest, AStatusIsAnAnswer) {
  Client client = MakeClient();
  const auto answer = client.Send({.target = "/no"});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "no such path");
}

TEST_F(ClientTest, ConnectsAgainAfterTheServerClosed) {
  Client client = MakeClient();
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.Send({.method = "POST", .target = "/close", .body = "once"});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->body, "once");
  }
}

TEST_F(ClientTest, ConnectsAgainAfterTheServerWasStartedAnew) {
  Client client = MakeClient();
  ASSERT_TRUE(client.Send({.target = "/echo"}).ok());
  options_.port = server_->port();
  server_.reset();
  const auto refused = client.Send({.target = "/echo"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  SetUp();
  EXPECT_TRUE(client.Send({.target = "/echo"}).ok());
}

// Answers one connection with fixed bytes, and keeps or ends it.
class FixedAnswer {
 public:
  explicit FixedAnswer(std::string answer, bool end = true) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer), end] {
      const int client = accept(listener_, nullptr, nullptr);
      std::string request;
      char bytes[1024];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t more = recv(client, bytes, sizeof(bytes), 0);
        if (more <= 0) break;
        request.append(bytes, static_cast<size_t>(more));
      }
      EXPECT_EQ(send(client, answer.data(), answer.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(answer.size()));
      if (!end) {  // until the client goes
        while (recv(client, bytes, sizeof(bytes), 0) > 0) {
        }
      }
      close(client);
    });
  }
  ~FixedAnswer() {
    thread_.join();
    close(listener_);
  }

  Result<ClientAnswer> Ask(ClientOptions options = {}) {
    Client client({.host = "127.0.0.1", .port = port_}, options);
    return client.Send({});
  }

 private:
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

TEST(Client, ReadsEveryFraming) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
       "abcd"},
      {"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x"},
      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
      {"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", "ok"}};
  for (const auto& [bytes, body] : cases) {
    const auto answer = FixedAnswer(bytes).Ask();
    ASSERT_TRUE(answer.ok()) << bytes << ": " << answer.error().message;
    EXPECT_EQ(answer->body, body);
  }
}

TEST(Client, TellsFaultsApart) {
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {"", ErrorCode::kIo},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", ErrorCode::kIo},
      {"HTTP/1.1 200 OK\r\nConte", ErrorCode::kInvalidData},
      {"SSH-2.0-OpenSSH\r\n\r\n", ErrorCode::kInvalidData},
      {"HTTP/2 200 OK\r\n\r\n", ErrorCode::kInvalidData},
      {"HTTP/1.1 2x0 OK\r\n\r\n", ErrorCode::kInvalidData},
      {"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", ErrorCode::kInvalidData},
      {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ErrorCode::kInvalidData},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ErrorCode::kInvalidData},
      {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", ErrorCode::kResourceExhausted}};
  for (const auto& [bytes, code] : cases) {
    const auto answer = FixedAnswer(bytes).Ask();
    ASSERT_FALSE(answer.ok()) << bytes;
    EXPECT_EQ(answer.error().code, code) << bytes << ": " << answer.error().message;
  }
}

TEST(Client, GivesUpOnASilentServer) {
  FixedAnswer server("HTTP/1.1 200 OK\r\n", false);
  const auto answer = server.Ask({.io_timeout = milliseconds(100)});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, ErrorCode::kDeadlineExceeded);
}

TEST(ParseUrl, TakesWhatNamesAServer) {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
    const char* target;
  };
  for (const Case& c : {Case{"http://localhost:8080", "localhost", 8080, "/"},
                        Case{"http://10.0.0.1", "10.0.0.1", 80, "/"},
                        Case{"http://[::1]:81/a/b?c=1", "::1", 81, "/a/b?c=1"},
                        Case{"http://h?x", "h", 80, "/?x"}}) {
    const auto url = ParseUrl(c.text);
    ASSERT_TRUE(url.ok()) << c.text;
    EXPECT_EQ(url->host, c.host);
    EXPECT_EQ(url->port, c.port);
    EXPECT_EQ(url->target, c.target);
  }
  EXPECT_EQ(ParseUrl("http://[::1]:81")->Authority(), "[::1]:81");
}

TEST(ParseUrl, RefusesTheRest) {
  for (const char* text : {"", "localhost:8080", "https://h", "http://", "http://:80", "http://h:0",
                           "http://h:65536", "http://h:x", "http://h:", "http://[::1",
                           "http://[::1]x", "http://a b", "http://u@h", "http://h/\r\nX: y"}) {
    EXPECT_FALSE(ParseUrl(text).ok()) << text;
  }
}

}  // namespace
}  // namespace bertie::http
