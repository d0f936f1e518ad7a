// TLS on the server's side, from the outside of it: what is no handshake, the way there by CONNECT,
// and certificates. Real clients of TLS: tests/e2e/test_cloud_tls.py.
#include "http/tls.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <thread>

#include "base/directory.h"
#include "base/file.h"
#include "eventually.h"
#include "http/certificate_authority.h"
#include "http/server.h"
#include "http/test_client.h"

namespace bertie::http {
namespace {

using std::chrono::milliseconds;

class PlainHandler : public Handler {
 public:
  std::optional<Response> OnHead(const RequestHead&) override { return std::nullopt; }
  void OnRequest(Request, std::shared_ptr<Exchange> exchange) override {
    exchange->Respond({.body = body});
  }
  Response OnRefusal(const Refusal& refusal) override {
    return {.status = refusal.status, .content_type = "text/plain", .body = refusal.message};
  }

  std::string body = "answer";
};

// Trusts anybody.
class TlsClient {
 public:
  explicit TlsClient(uint16_t port) {
    BIO* plain = BIO_new_connect(("127.0.0.1:" + std::to_string(port)).c_str());
    stream_ = BIO_push(BIO_new_ssl(context_, 1), plain);
    connected_ = BIO_do_handshake(stream_) == 1;
  }
  ~TlsClient() {
    BIO_free_all(stream_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  bool Send(const std::string& bytes) {
    return BIO_write(stream_, bytes.data(), static_cast<int>(bytes.size())) ==
           static_cast<int>(bytes.size());
  }
  // Bytes of the next read; 0 or less at the end.
  int Receive() {
    char bytes[4096];
    return BIO_read(stream_, bytes, sizeof(bytes));
  }
  // The server has said that it ends the connection.
  bool told() const {
    SSL* ssl = nullptr;
    BIO_get_ssl(stream_, &ssl);
    return (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

 private:
  SSL_CTX* context_ = SSL_CTX_new(TLS_client_method());
  BIO* stream_ = nullptr;
  bool connected_ = false;
};

class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = CertificateAuthority::Open(folder.path() / "ca", "test");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    authority = *std::move(opened);
    options.log = [](std::string_view) {};
    options.handshake_timeout = milliseconds(1000);
  }
  void Start() {
    auto listening = Server::Listen(options, handler);
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    server = *std::move(listening);
    server->Start();
  }
  void StartProxy() {
    options.connect =
        [this](const std::string& wanted) -> Result<std::shared_ptr<const TlsIdentity>> {
      if (wanted == "host:443") return authority->Issue({"host"});
      return Error{ErrorCode::kInvalidArgument, "not " + wanted};
    };
    Start();
  }

  TemporaryDirectory folder = *TemporaryDirectory::Create();
  std::unique_ptr<CertificateAuthority> authority;
  PlainHandler handler;
  ServerOptions options;
  std::unique_ptr<Server> server;
};

TEST_F(TlsTest, SilentAndGarbledHandshakesEnd) {
  options.tls = std::make_shared<TlsHolder>(*authority->Issue({"localhost"}));
  Start();
  EXPECT_EQ(server->url(), "https://" + server->address());
  TestClient silent(server->port());
  TestClient partial(server->port());
  ASSERT_TRUE(partial.Send(std::string("\x16\x03\x01\x40\x00\x01", 6)));
  TestClient garbled(server->port());
  ASSERT_TRUE(garbled.Send(std::string(400, '\xee')));
  silent.ReceiveAll();
  EXPECT_TRUE(silent.AtEnd());
  partial.ReceiveAll();
  EXPECT_TRUE(partial.AtEnd());
  garbled.ReceiveAll();
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
}

TEST_F(TlsTest, ClientsThatReadTooSlowlyAreCut) {
  options.tls = std::make_shared<TlsHolder>(*authority->Issue({"localhost"}));
  options.write_timeout = milliseconds(500);
  handler.body = std::string(size_t{64} << 20, 'b');
  Start();
  TlsClient client(server->port());
  ASSERT_TRUE(client.connected());
  ASSERT_TRUE(client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto begin = std::chrono::steady_clock::now();
  while (client.Receive() > 0 && server->connections() > 0 &&
         std::chrono::steady_clock::now() - begin < milliseconds(2500)) {
    std::this_thread::sleep_for(std::chrono::microseconds(250));
  }
  EXPECT_EQ(server->connections(), 0U);
}

TEST_F(TlsTest, AnIdleConnectionsEndIsTold) {
  options.tls = std::make_shared<TlsHolder>(*authority->Issue({"localhost"}));
  options.idle_timeout = milliseconds(100);
  Start();
  TlsClient client(server->port());
  ASSERT_TRUE(client.connected());
  EXPECT_LE(client.Receive(), 0);
  EXPECT_TRUE(client.told());
}

TEST_F(TlsTest, PlainHttpIsToldSo) {
  options.tls = std::make_shared<TlsHolder>(*authority->Issue({"localhost"}));
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_NE(client.Receive().find("400 Bad Request"), std::string::npos);
}

TEST_F(TlsTest, ConnectLeadsToTheHandshakeOrNowhere) {
  StartProxy();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send("CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n"));
  EXPECT_TRUE(client.Receive().starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(client.AtEnd());  // no handshake came

  TestClient other(server->port());
  ASSERT_TRUE(other.Send("CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"));
  const std::string refused = other.ReceiveAll();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 403 ")) << refused;
  EXPECT_NE(refused.find("not other:443"), std::string::npos) << refused;

  TestClient hasty(server->port());
  ASSERT_TRUE(hasty.Send("CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\nmore"));
  EXPECT_TRUE(hasty.ReceiveAll().starts_with("HTTP/1.1 400 "));

  TestClient ordinary(server->port());
  ASSERT_TRUE(ordinary.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_NE(ordinary.Receive().find("answer"), std::string::npos);
}

TEST_F(TlsTest, DrainDoesNotWaitForHandshakes) {
  options.tls = std::make_shared<TlsHolder>(*authority->Issue({"localhost"}));
  options.handshake_timeout = std::chrono::minutes(1);
  options.drain_linger = milliseconds(50);
  Start();
  TestClient silent(server->port());
  ASSERT_TRUE(Eventually([&] { return server->connections() == 1; }));
  server->BeginDrain();
  EXPECT_TRUE(server->WaitDrained(std::chrono::seconds(10)));
}

TEST_F(TlsTest, AnAuthorityIsKeptAndIssuesOnlyForHosts) {
  const std::string made = *ReadFile(authority->certificate_file(), 1 << 20);
  ASSERT_TRUE(CertificateAuthority::Open(folder.path() / "ca", "again").ok());
  EXPECT_EQ(*ReadFile(authority->certificate_file(), 1 << 20), made);
  EXPECT_EQ(*authority->Issue({"a.example"}), *authority->Issue({"a.example"}));
  EXPECT_NE(*authority->Issue({"a.example"}), *authority->Issue({"b.example"}));
  for (const char* bad : {"", "a,DNS:b", "a\nb", "a b", "a:443", "@section"}) {
    EXPECT_FALSE(authority->Issue({bad}).ok()) << bad;
  }
  EXPECT_FALSE(authority->Issue({}).ok());
  EXPECT_TRUE(authority->Issue({std::string(200, 'x') + ".example", "127.0.0.1", "::1"}).ok());
}

TEST_F(TlsTest, WhatIsNoIdentityIsNamed) {
  ASSERT_TRUE(CertificateAuthority::Open(folder.path() / "other", "other").ok());
  const auto text = [&](const char* name) { return *ReadFile(folder.path() / name, 1 << 20); };
  const auto error = [](const std::string& chain, const std::string& key) {
    auto identity = TlsIdentity::FromPem(chain, key, "files");
    return identity.ok() ? "none" : identity.error().message;
  };
  EXPECT_EQ(error(text("ca/ca.pem"), text("ca/ca.key")), "none");
  EXPECT_NE(error("nothing", text("ca/ca.key")).find("files: expected a certificate"),
            std::string::npos);
  EXPECT_NE(error(text("ca/ca.pem"), "nothing").find("private key"), std::string::npos);
  EXPECT_NE(error(text("ca/ca.pem"), text("other/ca.key")).find("does not belong"),
            std::string::npos);
  EXPECT_FALSE(TlsIdentity::FromFiles(folder.path() / "none.pem", folder.path() / "ca.key").ok());
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "ca" / "ca.key", "broken").ok());
  const auto broken = CertificateAuthority::Open(folder.path() / "ca", "test");
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().code, ErrorCode::kInvalidData);
}

}  // namespace
}  // namespace bertie::http
