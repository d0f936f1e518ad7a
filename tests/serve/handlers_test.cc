#include "serve/handlers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "http/server.h"
#include "http/test_client.h"
#include "infer/sum_executor.h"
#include "serve/protocols/health.h"
#include "serve/protocols/sagemaker.h"
#include "serve/route_table.h"
#include "serve/small_model.h"

namespace bertie::serve {
namespace {

using http::TestClient;

// The routes over real sockets, with an executor whose answers can be checked by hand.
class HandlersTest : public testing::Test {
 protected:
  void Start(HandlerOptions options = {}, infer::QueueLimits queue = {}, bool loaded = true) {
    options.log = [](std::string_view) {};
    context = std::make_unique<ServeContext>(options);
    sagemaker = std::make_unique<SageMakerProtocol>(*context);
    health = std::make_unique<HealthProtocol>(*context);
    routes.Add(*sagemaker);
    routes.Add(*health);
    handlers = std::make_unique<Handlers>(*context, routes);
    if (loaded) {
      model =
          context->models.Adopt(SmallModel({.name = "model"}, executor, context->metrics, queue));
      context->models.Put(model);
      context->loaded = true;
    }
    auto listening = http::Server::Listen({}, *handlers);
    ASSERT_TRUE(listening.ok());
    server = *std::move(listening);
    server->Start();
  }
  void TearDown() override {
    executor.OpenGate();
    server.reset();
    model.reset();
    context.reset();
  }

  static std::string Post(const std::string& body, const std::string& fields = "") {
    return "POST /invocations HTTP/1.1\r\nHost: h\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  // The answer's status, fields and body as one text.
  std::string Ask(const std::string& bytes) {
    TestClient client(server->port());
    EXPECT_TRUE(client.Send(bytes));
    return client.Receive();
  }
  static std::string Body(const std::string& answer) {
    return answer.substr(std::min(answer.size(), answer.find("\r\n\r\n") + 4));
  }
  static int Status(const std::string& answer) {
    return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
  }
  static bool HasField(const std::string& answer, const std::string& field) {
    return answer.find("\r\n" + field + "\r\n") < answer.find("\r\n\r\n") + 2;
  }

  infer::SumExecutor executor;
  std::unique_ptr<ServeContext> context;
  std::unique_ptr<SageMakerProtocol> sagemaker;
  std::unique_ptr<HealthProtocol> health;
  RouteTable routes;
  std::unique_ptr<Handlers> handlers;
  ModelPointer model;
  std::unique_ptr<http::Server> server;
};

TEST_F(HandlersTest, PingIs200WithAnEmptyBody) {
  Start();
  for (const char* path : {"/ping", "/health", "/ping?x=1"}) {
    std::string answer = Ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(Status(answer), 200);
    EXPECT_EQ(Body(answer), "");
  }
}

TEST_F(HandlersTest, BeforeTheModelIsThere503) {
  Start({}, {}, false);
  std::string ping = Ask("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(Status(ping), 503);
  std::string answer = Ask(Post("\"a\"", "X-Request-Id: r1\r\n"));
  EXPECT_EQ(Status(answer), 503);
  EXPECT_TRUE(HasField(answer, "Retry-After: 1"));
  EXPECT_EQ(Body(answer),
            "{\"code\":503,\"type\":\"Loading\",\"message\":\"the model is being loaded\","
            "\"request_id\":\"r1\"}\n");
}

TEST_F(HandlersTest, WhileDrainingPingIs503AndRequestsAreAnswered) {
  Start();
  context->draining = true;
  EXPECT_EQ(Status(Ask("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")), 503);
  EXPECT_EQ(Status(Ask(Post("\"a\""))), 200);
}

// [CLS] a b [SEP] is 2 4 5 3: sum 14, weighted 2 + 8 + 15 + 12.
TEST_F(HandlersTest, LogitsForATextAndForAList) {
  Start();
  std::string one = Ask(Post("\"a b\"", "Content-Type: application/json\r\n"));
  EXPECT_EQ(Status(one), 200);
  EXPECT_TRUE(HasField(one, "Content-Type: application/json"));
  EXPECT_EQ(Body(one), "[[14,37]]");
  EXPECT_EQ(Body(Ask(Post("[\"a b\", \"\", \"zzz\"]"))), "[[14,37],[5,8],[6,13]]");
}

TEST_F(HandlersTest, ScoresForInputs) {
  Start();
  EXPECT_EQ(Body(Ask(Post(R"({"inputs": "", "parameters": {"function_to_apply": "none"}})"))),
            R"([{"label":"high","score":8}])");
  EXPECT_EQ(
      Body(Ask(Post(
          R"({"inputs": ["", "a b"], "parameters": {"top_k": null, "function_to_apply": "none"}})"))),
      R"([[{"label":"high","score":8},{"label":"low","score":5}],)"
      R"([{"label":"high","score":37},{"label":"low","score":14}]])");
}

TEST_F(HandlersTest, Csv) {
  Start();
  const std::string type = "Content-Type: text/csv\r\n";
  EXPECT_EQ(Body(Ask(Post("a b\n\"\"\n", type))), "[[14,37],[5,8]]");
  std::string answer = Ask(Post("a b\n", type + "Accept: text/csv\r\n"));
  EXPECT_TRUE(HasField(answer, "Content-Type: text/csv"));
  EXPECT_EQ(Body(answer), "14,37\n");
  EXPECT_EQ(Body(Ask(Post("inputs\na b\n", type + "Accept: text/csv\r\n"))),
            "label,score\nhigh,1\n");
}

TEST_F(HandlersTest, LongTextsAreCutAndCounted) {
  Start();
  std::string answer = Ask(Post(R"(["a a a a a a", "a a a a a a a a a a", "b b b b b b b"])"));
  EXPECT_EQ(Status(answer), 200);
  EXPECT_TRUE(HasField(answer, "x-bertie-truncated: 2")) << answer;
  EXPECT_EQ(Ask(Post("\"a\"")).find("x-bertie-truncated"), std::string::npos);
}

TEST_F(HandlersTest, LongTextsAreRefusedWhenToldTo) {
  Start({.long_texts = {.mode = LongTexts::kRefuse}});
  std::string answer = Ask(Post(R"(["a", "a a a a a a a"])", "X-Request-Id: r1\r\n"));
  EXPECT_EQ(Status(answer), 400);
  EXPECT_EQ(Body(answer),
            "{\"code\":400,\"type\":\"TextTooLong\",\"message\":\"[1] has 9 tokens; the limit is 8 "
            "(truncation is off)\",\"request_id\":\"r1\"}\n");
  // A request may say otherwise, and the other way round.
  EXPECT_EQ(Status(Ask(Post(R"({"inputs": "a a a a a a a", "parameters": {"truncation": true}})"))),
            200);
  std::string shorter = Ask(
      Post(R"({"inputs": {"text": "a a a", "text_pair": "b"}, "parameters": {"max_length": 6}})"));
  EXPECT_NE(Body(shorter).find("inputs has 7 tokens; the limit is 6"), std::string::npos)
      << shorter;
}

TEST_F(HandlersTest, RefusalsHaveOneForm) {
  Start();
  const struct {
    std::string bytes;
    int status;
    const char* type;
  } cases[] = {
      {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NotFound"},
      {"POST /ping HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 405, "MethodNotAllowed"},
      {"GET /invocations HTTP/1.1\r\nHost: h\r\n\r\n", 405, "MethodNotAllowed"},
      {"BREW /ping HTTP/1.1\r\nHost: h\r\n\r\n", 405, "MethodNotAllowed"},
      {Post("x", "Content-Type: application/x-npy\r\n"), 415, "UnsupportedMediaType"},
      {Post("\"a\"", "Accept: application/x-npy\r\n"), 406, "NotAcceptable"},
      {Post("{"), 400, "InvalidJson"},
      {Post("[]"), 400, "EmptyBatch"},
      {Post(""), 400, "InvalidInput"},
      {"POST /invocations HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidInput"},
      {"GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"},
      {"POST /invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 7000000\r\n\r\n", 413,
       "BodyTooLarge"},
  };
  for (const auto& c : cases) {
    std::string answer = Ask(c.bytes);
    EXPECT_EQ(Status(answer), c.status) << c.bytes;
    EXPECT_TRUE(HasField(answer, "Content-Type: application/json")) << answer;
    EXPECT_TRUE(Body(answer).starts_with("{\"code\":" + std::to_string(c.status) + ",\"type\":\"" +
                                         c.type + "\",\"message\":\""))
        << answer;
  }
}

TEST_F(HandlersTest, OptionsNamesTheMethods) {
  Start();
  std::string answer = Ask("OPTIONS /invocations HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(Status(answer), 204);
  EXPECT_TRUE(HasField(answer, "Allow: POST, OPTIONS")) << answer;
  EXPECT_EQ(Status(Ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")), 204);
}

TEST_F(HandlersTest, AFullQueueIs503AndTooManyTokens413) {
  Start({}, {.max_requests = 1, .max_tokens = 20});
  EXPECT_EQ(Status(Ask(Post(R"(["a a a a a a", "a a a a a a", "a a a a a a"])"))), 413);
  executor.CloseGate();
  TestClient first(server->port());
  ASSERT_TRUE(first.Send(Post("\"a\"")));
  executor.WaitUntilRunning();
  TestClient second(server->port());
  ASSERT_TRUE(second.Send(Post("\"b\"")));
  while (model->batcher->queued_requests() == 0) std::this_thread::yield();
  std::string third = Ask(Post("\"c\""));
  EXPECT_EQ(Status(third), 503);
  EXPECT_TRUE(HasField(third, "Retry-After: 1"));
  EXPECT_NE(Body(third).find("QueueFull"), std::string::npos);
  // The probe is answered all the while.
  EXPECT_EQ(Status(Ask("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
  executor.OpenGate();
  EXPECT_EQ(Status(first.Receive()), 200);
  EXPECT_EQ(Status(second.Receive()), 200);
}

TEST_F(HandlersTest, ARequestWhoseTimeIsUpIs503AndNotComputed) {
  Start({.request_timeout = std::chrono::milliseconds(400)});
  executor.CloseGate();
  TestClient first(server->port());
  ASSERT_TRUE(first.Send(Post("\"a\"")));
  executor.WaitUntilRunning();
  TestClient second(server->port());
  ASSERT_TRUE(second.Send(Post("\"b\"")));
  while (model->batcher->queued_requests() == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  executor.OpenGate();
  std::string answer = second.Receive();
  EXPECT_EQ(Status(answer), 503);
  EXPECT_NE(Body(answer).find("DeadlineExceeded"), std::string::npos) << answer;
  EXPECT_EQ(model->batcher->batches(), 1);
}

TEST_F(HandlersTest, MetricsCountWhatHappened) {
  Start();
  Ask(Post("[\"a\", \"b b b b b b b b b\"]"));
  Ask(Post("7"));
  std::string page = Body(Ask("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_NE(page.find("bertie_requests_total{model=\"model\",version=\"1\",route=\"/"
                      "invocations\",code=\"200\"} 1\n"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("bertie_requests_total{model=\"model\",version=\"1\",route=\"/"
                      "invocations\",code=\"400\"} 1\n"),
            std::string::npos);
  EXPECT_NE(page.find("bertie_texts_total{model=\"model\",version=\"1\"} 2\n"), std::string::npos);
  EXPECT_NE(page.find("bertie_truncated_total{model=\"model\",version=\"1\"} 1\n"),
            std::string::npos);
}

// Every client gets the answer to its own text, whatever else is in the batch.
TEST_F(HandlersTest, AnswersDoNotMixUnderLoad) {
  Start();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      TestClient client(server->port());
      for (int i = 0; i < 100; ++i) {
        std::vector<int32_t> ids = {2};
        std::string text;
        for (int k = 0; k < (t + i) % 6; ++k) {
          text += k % 2 ? " a" : " c";
          ids.push_back(k % 2 ? 4 : 6);
        }
        ids.push_back(3);
        auto logits = infer::SumLogits(ids);
        std::string expected = "[[";
        AppendFloat(logits[0], expected);
        expected += ",";
        AppendFloat(logits[1], expected);
        expected += "]]";
        if (client.Send(Post("\"" + text + "\"")) && Body(client.Receive()) == expected) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 600);
}

}  // namespace
}  // namespace bertie::serve
