// Bodies that go to a sink and answers that come from files.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/directory.h"
#include "eventually.h"
#include "http/server.h"
#include "http/test_client.h"

namespace bertie::http {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// What all sinks of a test have seen.
struct Seen {
  std::mutex mutex;  // guards bytes
  std::string bytes;
  std::atomic<bool> gate_open{true};
  std::atomic<int> sinks{0};
};

class TestSink : public BodySink {
 public:
  explicit TestSink(Seen& seen) : seen_(seen) { ++seen_.sinks; }
  ~TestSink() override { --seen_.sinks; }

  std::optional<Response> Write(std::string_view bytes) override {
    while (!seen_.gate_open) std::this_thread::sleep_for(milliseconds(1));
    if (bytes.find("stop!") != std::string_view::npos) {
      return Response{.status = 409, .content_type = "text/plain", .body = "stopped"};
    }
    std::lock_guard lock(seen_.mutex);
    seen_.bytes.append(bytes);
    return std::nullopt;
  }

 private:
  Seen& seen_;
};

// PUT goes to a sink; GET /file answers with two pieces of a file; POST is taken whole.
class StreamHandler : public Handler {
 public:
  std::optional<Response> OnHead(const RequestHead& head) override {
    if (head.path == "/no") return OnRefusal({403, "Forbidden", "not here"});
    return std::nullopt;
  }
  Admission Admit(const RequestHead& head) override {
    if (auto answer = OnHead(head)) return {.answer = std::move(answer)};
    return {.sink = head.method == "PUT" ? std::make_shared<TestSink>(seen) : nullptr};
  }
  void OnRequest(Request request, std::shared_ptr<Exchange> exchange) override {
    if (request.head.path == "/file") {
      exchange->Respond({.body = "begin ", .files = {{file, 2, 3}, {file, 0, file->size()}}});
    } else if (request.head.path == "/head") {
      exchange->Respond({.head_length = uint64_t{1} << 40});
    } else if (request.head.path == "/cut") {
      exchange->Respond({.files = {{file, 0, file->size() + 1}}});
    } else {
      exchange->Respond(
          {.content_type = "text/plain", .body = request.sink ? "sink" : std::move(request.body)});
    }
  }
  Response OnRefusal(const Refusal& refusal) override {
    return {.status = refusal.status, .content_type = "text/plain", .body = refusal.message};
  }

  Seen seen;
  std::shared_ptr<const OpenFile> file;
};

class StreamTest : public testing::Test {
 protected:
  void Start() {
    options.log = [](std::string_view) {};
    options.limits.max_body_bytes = 1000;
    options.limits.max_stream_bytes = 64 << 20;
    auto listening = Server::Listen(options, handler);
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    server = *std::move(listening);
    server->Start();
  }
  std::string Put(size_t size) {
    return "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
  }

  ServerOptions options;
  StreamHandler handler;
  std::unique_ptr<Server> server;
};

TEST_F(StreamTest, TheSinkTakesEveryByteInOrder) {
  Start();
  std::string body;
  for (int i = 0; i < 1'000'000; ++i) body += std::to_string(i);
  TestClient client(server->port());
  for (size_t size : {size_t{0}, size_t{1}, size_t{128 * 1024}, body.size()}) {
    handler.seen.bytes.clear();
    ASSERT_TRUE(client.Send(Put(size) + body.substr(0, size)));
    std::string answer = client.Receive();
    EXPECT_TRUE(answer.ends_with("\r\n\r\nsink")) << answer;
    EXPECT_TRUE(handler.seen.bytes == body.substr(0, size)) << size;
  }
  EXPECT_TRUE(Eventually([&] { return handler.seen.sinks == 0; }));
}

TEST_F(StreamTest, ChunksAndPipelinedRequestsGoThrough) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(
      client.Send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" +
                  Put(1) + "f"));
  EXPECT_TRUE(client.Receive().ends_with("sink"));
  EXPECT_TRUE(client.Receive().ends_with("hi"));
  EXPECT_TRUE(client.Receive().ends_with("sink"));
  EXPECT_EQ(handler.seen.bytes, "abcdef");
}

TEST_F(StreamTest, EachKindOfBodyHasItsLimit) {
  Start();
  const auto status = [&](const std::string& request) {
    TestClient client(server->port());
    client.Send(request);
    return client.Receive().substr(9, 3);
  };
  EXPECT_EQ(status("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"), "413");
  EXPECT_EQ(status("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"),
            "413");
  EXPECT_EQ(status(Put((64 << 20) + 1)), "413");
  EXPECT_EQ(status("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4000001\r\n"),
            "413");
}

TEST_F(StreamTest, AnAnswerOfTheSinkEndsTheRequestAndTheConnection) {
  Start();
  TestClient client(server->port());
  client.Send(Put(1 << 20) + "stop!" + std::string(200 * 1024, 'x'));
  std::string answer = client.Receive();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 409 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(Eventually([&] { return handler.seen.sinks == 0; }));
}

// A sink that is slow holds its client up; nothing is gathered meanwhile.
TEST_F(StreamTest, ASlowSinkHoldsTheClientUp) {
  options.max_body_memory = 1 << 20;
  options.body_grace = milliseconds(1000);  // a slow machine has it to itself for the 32 MB
  options.min_body_rate = 1 << 30;
  Start();
  handler.seen.gate_open = false;
  TestClient client(server->port());
  std::atomic<bool> sent{false};
  std::jthread sender([&] {
    client.Send(Put(32 << 20) + std::string(32 << 20, 'x'));
    sent = true;
  });
  // Longer than the grace: the sink's time does not count.
  std::this_thread::sleep_for(milliseconds(1300));
  EXPECT_FALSE(sent);
  handler.seen.gate_open = true;
  sender.join();
  EXPECT_TRUE(client.Receive().ends_with("sink"));
  EXPECT_EQ(handler.seen.bytes.size(), size_t{32} << 20);
}

TEST_F(StreamTest, ASlowClientIsToldSo) {
  options.body_grace = milliseconds(50);
  Start();
  TestClient client(server->port());
  client.Send(Put(1000) + "abc");
  EXPECT_TRUE(client.Receive().starts_with("HTTP/1.1 408 "));
}

TEST_F(StreamTest, ABrokenConnectionDropsTheSink) {
  Start();
  {
    TestClient client(server->port());
    client.Send(Put(1 << 20) + std::string(300 * 1024, 'x'));
    EXPECT_TRUE(Eventually([&] { return handler.seen.sinks == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return handler.seen.sinks == 0; }));
}

TEST_F(StreamTest, ARefusalByTheHeadOpensNoSink) {
  Start();
  TestClient client(server->port());
  client.Send("PUT /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  EXPECT_TRUE(client.Receive().starts_with("HTTP/1.1 403 "));
  EXPECT_EQ(handler.seen.sinks, 0);
}

class FileAnswerTest : public StreamTest {
 protected:
  void SetUp() override {
    auto folder = TemporaryDirectory::Create();
    ASSERT_TRUE(folder.ok());
    for (int i = 0; i < 500'000; ++i) content += std::to_string(i);
    ASSERT_TRUE(WriteFileAtomically(folder->path() / "f", content).ok());
    handler.file = *OpenFile::Open(folder->path() / "f");
    Start();
  }
  std::string Get(const std::string& path, const std::string& method = "GET") {
    return method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }

  std::string content;  // of a file whose name is gone: it is still served
};

TEST_F(FileAnswerTest, PiecesFollowTheBody) {
  TestClient client(server->port());
  for (int i = 0; i < 2; ++i) {
    client.Send(Get("/file"));
    std::string answer = client.Receive();
    EXPECT_TRUE(answer.ends_with("\r\n\r\nbegin 234" + content)) << answer.size();
  }
  client.Send(Get("/file", "HEAD") + Get("/head", "HEAD"));
  std::string heads;
  while (heads.find("1099511627776") == std::string::npos) {
    std::string more = client.Receive(milliseconds(200));
    ASSERT_FALSE(more.empty()) << heads;
    heads += more;
  }
  EXPECT_NE(heads.find("Content-Length: " + std::to_string(content.size() + 9)), std::string::npos);
}

TEST_F(FileAnswerTest, AFileThatIsTooShortEndsTheConnection) {
  TestClient client(server->port());
  client.Send(Get("/cut"));
  std::string answer = client.ReceiveAll();
  EXPECT_LE(answer.size(), content.size() + 300);
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
}

TEST_F(FileAnswerTest, AClientThatLeavesOrStopsReadingDoesNoHarm) {
  {
    TestClient client(server->port(), 4096);
    client.Send(Get("/file"));
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
  EXPECT_EQ(handler.file.use_count(), 1);
}

}  // namespace
}  // namespace bertie::http
