#include "http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "eventually.h"
#include "http/test_client.h"

namespace bertie::http {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// /echo gives the body back, /hold keeps the request until Release, /big gives 16 MB, /lost never
// answers, /throw throws; every other path is a 404 from OnHead, /stall once stalled is false
// again.
class EchoHandler : public Handler {
 public:
  std::optional<Response> OnHead(const RequestHead& head) override {
    static const char* const kPaths[] = {"/echo", "/hold", "/big", "/lost", "/throw"};
    for (const char* path : kPaths) {
      if (head.path == path) return std::nullopt;
    }
    if (head.path == "/stall") {
      stalled = true;
      while (stalled) std::this_thread::sleep_for(milliseconds(1));
    }
    return OnRefusal({404, "NotFound", "no such path"});
  }

  void OnRequest(Request request, std::shared_ptr<Exchange> exchange) override {
    ++requests;
    if (request.head.path == "/throw") throw std::runtime_error("fault");
    if (request.head.path == "/lost") return;
    if (request.head.path == "/big") {
      return exchange->Respond({.body = std::string(size_t{16} << 20, 'b')});
    }
    if (request.head.path == "/hold") {
      std::lock_guard lock(mutex_);
      held_.push_back(std::move(exchange));
      return;
    }
    exchange->Respond({.content_type = "text/plain", .body = std::move(request.body)});
  }

  Response OnRefusal(const Refusal& refusal) override {
    return {.status = refusal.status, .content_type = "text/plain", .body = refusal.message};
  }

  size_t held() {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  std::vector<std::shared_ptr<Exchange>> TakeHeld() {
    std::lock_guard lock(mutex_);
    return std::exchange(held_, {});
  }

  std::atomic<int> requests{0};
  std::atomic<bool> stalled{false};

 private:
  std::mutex mutex_;  // guards held_
  std::vector<std::shared_ptr<Exchange>> held_;
};

class ServerTest : public testing::Test {
 protected:
  void Start() {
    options.log = [](std::string_view) {};
    auto listening = Server::Listen(options, handler);
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    server = *std::move(listening);
    server->Start();
  }
  static std::string Post(const std::string& path, const std::string& body,
                          const std::string& fields = "") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string Get(const std::string& path, const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
  }
  static bool Is(const std::string& answer, int status) {
    return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
  }

  EchoHandler handler;
  ServerOptions options;
  std::unique_ptr<Server> server;
};

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  Start();
  TestClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    std::string body = "body " + std::to_string(i);
    ASSERT_TRUE(client.Send(Post("/echo", body)));
    std::string answer = client.Receive();
    EXPECT_TRUE(Is(answer, 200)) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n" + body)) << answer;
    EXPECT_NE(answer.find("Date: "), std::string::npos);
  }
  EXPECT_EQ(server->connections(), 1u);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  TestClient client(server->port());
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += Post(i % 7 ? "/echo" : "/none", std::to_string(i));
  ASSERT_TRUE(client.Send(bytes));
  for (int i = 0; i < 100; ++i) {
    std::string answer = client.Receive();
    if (i % 7) {
      EXPECT_TRUE(answer.ends_with("\r\n\r\n" + std::to_string(i))) << answer;
    } else {
      EXPECT_TRUE(Is(answer, 404)) << answer;
    }
  }
}

TEST_F(ServerTest, BytesMayComeOneAtATime) {
  Start();
  TestClient client(server->port());
  for (char c :
       std::string("\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n0\r\n\r\n")) {
    ASSERT_TRUE(client.Send(std::string(1, c)));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  EXPECT_TRUE(client.Receive().ends_with("\r\n\r\nabc"));
}

TEST_F(ServerTest, LargeBodiesGoToThePool) {
  Start();
  std::string body(size_t{5} << 20, 'x');
  TestClient client(server->port());
  ASSERT_TRUE(client.Send(Post("/echo", body)));
  EXPECT_TRUE(client.Receive().ends_with("\r\n\r\n" + body));
  ASSERT_TRUE(client.Send(Post("/echo", "small")));
  EXPECT_TRUE(client.Receive().ends_with("\r\n\r\nsmall"));
}

TEST_F(ServerTest, HeadHasALengthAndNoBody) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send("HEAD /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  std::string answer = client.ReceiveAll();
  EXPECT_NE(answer.find("Content-Length: 12\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(ServerTest, ContinueIsSentWhenTheBodyIsWanted) {
  Start();
  TestClient client(server->port());
  const std::string fields = "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: h\r\n" + fields));
  EXPECT_EQ(client.Receive(), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.Send("abc"));
  EXPECT_TRUE(client.Receive().ends_with("\r\n\r\nabc"));

  ASSERT_TRUE(client.Send("POST /none HTTP/1.1\r\nHost: h\r\n" + fields));
  std::string answer = client.Receive();
  EXPECT_TRUE(Is(answer, 404)) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ServerTest, TooLargeBodiesAreRefusedBeforeTheyAreSent) {
  options.limits.max_body_bytes = 1000;
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n"));
  EXPECT_TRUE(Is(client.Receive(), 413));
  EXPECT_TRUE(client.AtEnd());

  // A client that sends everything before it reads still gets to see why it was refused.
  TestClient eager(server->port());
  ASSERT_TRUE(eager.Send(Post("/echo", std::string(size_t{8} << 20, 'x'))));
  EXPECT_TRUE(Is(eager.Receive(), 413));
  EXPECT_FALSE(eager.reset());
}

TEST_F(ServerTest, ABreachEndsTheConnectionAndDropsWhatFollows) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n" +
      Get("/echo")));
  std::string answers = client.ReceiveAll();
  EXPECT_TRUE(Is(answers, 400)) << answers;
  EXPECT_EQ(answers.rfind("HTTP/1.1 "), 0u) << "the smuggled request was answered: " << answers;
  EXPECT_EQ(handler.requests, 0);
}

TEST_F(ServerTest, SlowHeadsAndBodiesGet408) {
  options.head_timeout = milliseconds(100);
  options.body_grace = milliseconds(100);
  Start();
  TestClient head(server->port());
  ASSERT_TRUE(head.Send("GET / HT"));
  EXPECT_TRUE(Is(head.Receive(), 408));
  EXPECT_TRUE(head.AtEnd());
  TestClient body(server->port());
  ASSERT_TRUE(body.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab"));
  EXPECT_TRUE(Is(body.Receive(), 408));
  EXPECT_TRUE(body.AtEnd());
}

// A byte now and then must not move the deadline of the whole.
TEST_F(ServerTest, TheHeadsDeadlineDoesNotMove) {
  options.head_timeout = milliseconds(200);
  Start();
  TestClient client(server->port());
  std::string answer;
  for (int i = 0; i < 100 && answer.empty(); ++i) {
    ASSERT_TRUE(client.Send(i == 0 ? "GET /" : "a"));
    answer = client.Receive(milliseconds(20));
  }
  EXPECT_TRUE(Is(answer, 408)) << answer;
}

TEST_F(ServerTest, IdleConnectionsAreEnded) {
  options.idle_timeout = milliseconds(500);
  Start();
  TestClient fresh(server->port());
  EXPECT_TRUE(fresh.AtEnd());
  TestClient used(server->port());
  ASSERT_TRUE(used.Send(Get("/echo")));
  EXPECT_TRUE(Is(used.Receive(), 200));
  EXPECT_TRUE(used.AtEnd());
}

TEST_F(ServerTest, ClientsThatDoNotReadAreCut) {
  options.write_timeout = milliseconds(200);
  Start();
  TestClient client(server->port(), 4096);
  ASSERT_TRUE(client.Send(Get("/big")));
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0 && handler.requests == 1; }));
  client.ReceiveAll();
  EXPECT_TRUE(client.reset());
}

TEST_F(ServerTest, AClientThatLeavesCancelsItsRequest) {
  options.half_close_grace = milliseconds(50);
  Start();
  auto client = std::make_unique<TestClient>(server->port());
  ASSERT_TRUE(client->Send(Get("/hold")));
  ASSERT_TRUE(Eventually([&] { return handler.held() == 1; }));
  auto held = handler.TakeHeld();
  EXPECT_FALSE(held[0]->cancelled().stop_requested());
  client->Close();
  EXPECT_TRUE(Eventually([&] { return held[0]->cancelled().stop_requested(); }));
  EXPECT_TRUE(Eventually([&] { return server->connections() == 0; }));
  held[0]->Respond({});  // to nobody
}

TEST_F(ServerTest, AHalfClosedClientGetsItsAnswers) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send(Post("/echo", "one") + Get("/hold") + Post("/echo", "two")));
  client.ShutdownSend();
  ASSERT_TRUE(Eventually([&] { return handler.held() == 1; }));
  handler.TakeHeld()[0]->Respond({.body = "held"});
  std::string answers = client.ReceiveAll();
  EXPECT_NE(answers.find("one"), std::string::npos);
  EXPECT_NE(answers.find("held"), std::string::npos);
  EXPECT_NE(answers.find("two"), std::string::npos);
}

TEST_F(ServerTest, RequestsThatAreDroppedOrThrowGet500) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send(Get("/lost")));
  EXPECT_TRUE(Is(client.Receive(), 500));
  ASSERT_TRUE(client.Send(Get("/throw")));
  EXPECT_TRUE(Is(client.Receive(), 500));
  ASSERT_TRUE(client.Send(Get("/echo")));
  EXPECT_TRUE(Is(client.Receive(), 200));
}

TEST_F(ServerTest, ConnectionsOverTheLimitWait) {
  options.max_connections = 2;
  Start();
  auto first = std::make_unique<TestClient>(server->port());
  TestClient second(server->port());
  ASSERT_TRUE(Eventually([&] { return server->connections() == 2; }));
  TestClient third(server->port());
  ASSERT_TRUE(third.Send(Get("/echo")));
  EXPECT_EQ(third.Receive(milliseconds(50)), "");
  first.reset();
  EXPECT_TRUE(Is(third.Receive(), 200));
}

TEST_F(ServerTest, IdleConnectionsYieldToNewOnes) {
  options.max_connections = 3;
  options.yield_idle = milliseconds(300);
  Start();
  TestClient held(server->port());
  ASSERT_TRUE(held.Send(Get("/hold")));
  TestClient idle(server->port());
  ASSERT_TRUE(Eventually([&] { return handler.held() == 1 && server->connections() == 2; }));
  TestClient busy(server->port());
  ASSERT_TRUE(Eventually([&] { return server->connections() == 3; }));
  TestClient further(server->port());
  ASSERT_TRUE(further.Send(Get("/echo")));
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(busy.Send(Get("/echo")));
    ASSERT_TRUE(Is(busy.Receive(), 200));
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_TRUE(Is(further.Receive(), 200));
  EXPECT_EQ(server->connections(), 3U);
  handler.TakeHeld()[0]->Respond({.body = "held"});
  EXPECT_TRUE(Is(held.Receive(), 200));
}

TEST_F(ServerTest, AConnectionWhoseRequestHasComeDoesNotYield) {
  options.max_connections = 2;
  options.yield_idle = milliseconds(0);
  Start();
  TestClient idle(server->port());
  ASSERT_TRUE(Eventually([&] { return server->connections() == 1; }));
  TestClient busy(server->port());
  ASSERT_TRUE(Eventually([&] { return server->connections() == 2; }));
  ASSERT_TRUE(busy.Send(Get("/stall")));
  ASSERT_TRUE(Eventually([&] { return handler.stalled.load(); }));
  TestClient further(server->port());
  ASSERT_TRUE(further.Send(Get("/echo")));
  ASSERT_TRUE(idle.Send(Get("/echo")));
  handler.stalled = false;
  EXPECT_TRUE(Is(idle.Receive(), 200));
  EXPECT_TRUE(Is(busy.Receive(), 404));
  EXPECT_TRUE(Is(further.Receive(), 200));
}

TEST_F(ServerTest, BodiesOverTheMemorySetAsideGet503) {
  options.max_body_memory = 100'000;
  Start();
  TestClient first(server->port());
  std::string body(60'000, 'x');
  std::string bytes = Post("/echo", body);
  ASSERT_TRUE(first.Send(bytes.substr(0, bytes.size() - 1)));
  ASSERT_EQ(first.Receive(milliseconds(50)), "");
  TestClient second(server->port());
  ASSERT_TRUE(second.Send(bytes));
  EXPECT_TRUE(Is(second.Receive(), 503));
  ASSERT_TRUE(first.Send("x"));
  EXPECT_TRUE(Is(first.Receive(), 200));
  TestClient third(server->port());
  ASSERT_TRUE(third.Send(bytes));
  EXPECT_TRUE(Is(third.Receive(), 200));
}

TEST_F(ServerTest, DrainFinishesWhatIsUnderWay) {
  options.drain_linger = milliseconds(200);
  Start();
  TestClient busy(server->port());
  TestClient idle(server->port());
  ASSERT_TRUE(busy.Send(Get("/hold")));
  ASSERT_TRUE(Eventually([&] { return handler.held() == 1 && server->connections() == 2; }));
  server->BeginDrain();
  // For a while clients are still served, and told to go.
  ASSERT_TRUE(idle.Send(Get("/echo")));
  std::string answer = idle.Receive();
  EXPECT_TRUE(Is(answer, 200)) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  EXPECT_FALSE(server->WaitDrained(milliseconds(500)));
  EXPECT_FALSE(TestClient(server->port()).connected());
  handler.TakeHeld()[0]->Respond({.body = "done"});
  EXPECT_TRUE(busy.Receive().ends_with("done"));
  EXPECT_TRUE(busy.AtEnd());
  busy.Close();
  idle.Close();
  EXPECT_TRUE(server->WaitDrained(milliseconds(2000)));
}

TEST_F(ServerTest, DrainOfAnIdleServerIsImmediate) {
  Start();
  auto begin = Clock::now();
  server->BeginDrain();
  EXPECT_TRUE(server->WaitDrained(milliseconds(20000)));
  EXPECT_LT(Clock::now() - begin, milliseconds(5000));
}

TEST_F(ServerTest, StopCutsConnectionsAndLaterAnswersAreDropped) {
  Start();
  TestClient client(server->port());
  ASSERT_TRUE(client.Send(Get("/hold")));
  ASSERT_TRUE(Eventually([&] { return handler.held() == 1; }));
  auto held = handler.TakeHeld();
  server->Stop();
  EXPECT_TRUE(held[0]->cancelled().stop_requested());
  server.reset();
  held[0]->Respond({.body = "too late"});
  EXPECT_EQ(client.ReceiveAll(), "");
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  Start();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      TestClient client(server->port());
      for (int i = 0; i < 50; ++i) {
        std::string body(static_cast<size_t>(i % 5 == 0 ? 40'000 : 10), static_cast<char>('a' + t));
        if (client.Send(Post("/echo", body)) && client.Receive().ends_with("\r\n\r\n" + body)) {
          ++good;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 8 * 50);
}

TEST(ServerListen, SaysWhyItCannot) {
  EchoHandler handler;
  ServerOptions options;
  auto first = Server::Listen(options, handler);
  ASSERT_TRUE(first.ok());
  options.port = (*first)->port();
  auto second = Server::Listen(options, handler);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find((*first)->address()), std::string::npos);
  options.host = "no.such.host.invalid";
  auto third = Server::Listen(options, handler);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace bertie::http
