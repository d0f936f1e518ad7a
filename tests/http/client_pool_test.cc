#include "http/client_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/listening_test.h"
#include "http/server.h"

namespace bertie::http {
namespace {

using std::chrono::milliseconds;

// Gives back the body, with the field X-Seen; /close ends the connection, /wait answers once told.
class Echo : public Handler {
 public:
  std::optional<Response> OnHead(const RequestHead&) override { return std::nullopt; }
  void OnRequest(Request request, std::shared_ptr<Exchange> exchange) override {
    if (request.head.path == "/wait") {
      std::lock_guard lock(mutex);
      waiting.push_back(std::move(exchange));
      return;
    }
    const std::string* seen = request.head.Find("X-Seen");
    exchange->Respond({.fields = {{"X-Seen", seen == nullptr ? "" : *seen}},
                       .body = std::move(request.body),
                       .close = request.head.path == "/close"});
  }
  Response OnRefusal(const Refusal& refusal) override {
    return {.status = refusal.status, .body = refusal.message};
  }
  size_t Waiting() {
    std::lock_guard lock(mutex);
    return waiting.size();
  }

  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> waiting;
};

class ClientPoolTest : public ListeningTest<Echo> {
 protected:
  std::future<Result<ClientAnswer>> Send(ClientPool& pool, PoolRequest request) {
    auto promise = std::make_shared<std::promise<Result<ClientAnswer>>>();
    if (request.port == 0) request.port = server_->port();
    pool.Send(std::move(request),
              [promise](Result<ClientAnswer> answer) { promise->set_value(std::move(answer)); });
    return promise->get_future();
  }
};

TEST_F(ClientPoolTest, KeepsConnections) {
  ClientPool pool;
  for (const size_t size : {0, 5, 20'000, 5'000'000}) {
    const std::string body(size, 'x');
    auto answer = Send(pool, {.fields = {{"X-Seen", "yes"}}, .body = body}).get();
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, body);
    ASSERT_NE(answer->Find("x-seen"), nullptr);
    EXPECT_EQ(*answer->Find("x-seen"), "yes");
    EXPECT_EQ(server_->connections(), 1U);
  }
  pool.CloseIdle(server_->port());
  for (int i = 0; i < 500 && server_->connections() > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ClientPoolTest, ManyAtOnce) {
  ClientPool pool({.max_idle = 4});
  std::vector<std::future<Result<ClientAnswer>>> answers;
  for (int i = 0; i < 50; ++i) {
    answers.push_back(
        Send(pool, {.target = i % 5 == 0 ? "/close" : "/", .body = std::to_string(i)}));
  }
  for (int i = 0; i < 50; ++i) {
    auto answer = answers[static_cast<size_t>(i)].get();
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->body, std::to_string(i));
  }
  for (int i = 0; i < 500 && server_->connections() > 4; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_LE(server_->connections(), 4U);
}

TEST_F(ClientPoolTest, SaysWhatWentWrong) {
  ClientPool pool({.limits = {.max_body_bytes = 10}});
  auto late = Send(pool, {.target = "/wait", .timeout = milliseconds(500)}).get();
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);

  auto large = Send(pool, {.body = "eleven bytes"}).get();
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().code, ErrorCode::kResourceExhausted);

  std::stop_source stop;
  auto dropped = Send(pool, {.target = "/wait", .cancelled = stop.get_token()});
  while (handler_.Waiting() < 2) std::this_thread::sleep_for(milliseconds(1));
  stop.request_stop();
  const auto cancelled = dropped.get();
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);

  auto broken = Send(pool, {.target = "/wait"});
  while (handler_.Waiting() < 3) std::this_thread::sleep_for(milliseconds(1));
  const uint16_t port = server_->port();
  server_->Stop();
  const auto cut = broken.get();
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, ErrorCode::kIo);

  server_.reset();
  const auto refused = Send(pool, {.port = port}).get();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

// One that was kept is not used again after the server has ended it.
TEST_F(ClientPoolTest, ConnectsAgainAfterTheServerWasStartedAnew) {
  ClientPool pool;
  ASSERT_TRUE(Send(pool, {.body = "a"}).get().ok());
  options_.port = server_->port();
  server_.reset();
  SetUp();
  const auto answer = Send(pool, {.body = "b"}).get();
  EXPECT_TRUE(answer.ok()) << answer.error().message;
}

TEST_F(ClientPoolTest, EndsWithRequestsUnderWay) {
  std::future<Result<ClientAnswer>> answer;
  {
    ClientPool pool;
    answer = Send(pool, {.target = "/wait"});
    while (handler_.Waiting() < 1) std::this_thread::sleep_for(milliseconds(1));
  }
  const auto cancelled = answer.get();
  ASSERT_FALSE(cancelled.ok());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace bertie::http
