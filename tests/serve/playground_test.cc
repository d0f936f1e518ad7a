#include "serve/protocols/playground.h"

#include <gtest/gtest.h>

#include "formats/json.h"
#include "http/server.h"
#include "http/test_client.h"
#include "infer/sum_executor.h"
#include "serve/handlers.h"
#include "serve/protocols/sagemaker.h"
#include "serve/protocols/tei.h"
#include "serve/route_table.h"
#include "serve/small_model.h"

namespace bertie::serve {
namespace {

using formats::Json;

class PlaygroundTest : public testing::Test {
 protected:
  void SetUp() override {
    routes.Add(sagemaker);
    routes.Add(tei);
    routes.Add(playground);
    context.models.Put(context.models.Adopt(SmallModel({"model", "1"}, executor, context.metrics)));
    context.loaded = true;
    auto listening = http::Server::Listen({}, handlers);
    ASSERT_TRUE(listening.ok());
    server = *std::move(listening);
    server->Start();
  }
  std::string Ask(const std::string& bytes) {
    http::TestClient client(server->port());
    EXPECT_TRUE(client.Send(bytes));
    return client.Receive();
  }
  std::string Get(const std::string& path, const std::string& fields = "") {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
  }
  std::string Post(const std::string& path, const std::string& body) {
    return Ask("POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  static int Status(const std::string& answer) { return std::stoi(answer.substr(9, 3)); }
  static Json Body(const std::string& answer) {
    auto json = formats::ParseJson(answer.substr(answer.find("\r\n\r\n") + 4), "body");
    EXPECT_TRUE(json.ok()) << answer;
    return *json;
  }
  // "[CLS] a|b" where what is after the bar is cut off.
  std::string Tokens(const std::string& body) {
    std::string text, cut;
    const Json answer = Body(Post("/ui/tokens", body));
    for (const Json& token : answer["tokens"]) {
      (token["kept"] ? text : cut) += token["token"].get<std::string>() + " ";
    }
    return text + "| " + cut;
  }

  infer::SumExecutor executor;
  ServeContext context{{}};
  SageMakerProtocol sagemaker{context};
  TeiProtocol tei{context};
  PlaygroundProtocol playground{context};
  RouteTable routes;
  Handlers handlers{context, routes};
  std::unique_ptr<http::Server> server;
};

TEST_F(PlaygroundTest, BrowsersGetThePageAndOthersTheHealthCheck) {
  const std::string page = Get("/", "Accept: text/html,*/*;q=0.8\r\n");
  EXPECT_EQ(Status(page), 200);
  EXPECT_NE(page.find("<title>bertie playground</title>"), std::string::npos);
  EXPECT_NE(page.find("\r\nContent-Security-Policy: default-src 'self'"), std::string::npos);
  for (const char* accept : {"", "Accept: */*\r\n"}) {
    const std::string health = Get("/", accept);
    EXPECT_EQ(Status(health), 200);
    EXPECT_EQ(health.find("html"), std::string::npos);
  }
}

TEST_F(PlaygroundTest, FilesOfThePage) {
  const std::string script = Get("/ui/playground/playground.js");
  EXPECT_EQ(Status(script), 200);
  EXPECT_NE(script.find("\r\nContent-Type: text/javascript"), std::string::npos);
  EXPECT_EQ(Status(Get("/ui/console/console.js")), 404);
  EXPECT_EQ(Status(Get("/ui/none")), 404);
}

TEST_F(PlaygroundTest, NamesTheModels) {
  EXPECT_EQ(Body(Get("/ui/models")), Json({{"models",
                                            {{{"name", "model"},
                                              {"version", "1"},
                                              {"labels", {"low", "high"}},
                                              {"max_length", 8},
                                              {"default", true}}}}}));
}

TEST_F(PlaygroundTest, OfSeveralVersionsTheHighestAnswers) {
  context.models.Put(context.models.Adopt(SmallModel({"model", "12"}, executor, context.metrics)));
  context.models.Put(context.models.Adopt(SmallModel({"other", "1"}, executor, context.metrics)));
  const Json models = Body(Get("/ui/models"))["models"];
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0]["version"], "12");
  EXPECT_EQ(models[1]["name"], "other");
}

TEST_F(PlaygroundTest, TokensOfAText) {
  EXPECT_EQ(Tokens(R"({"text": "a b zzz"})"), "[CLS] a b [UNK] [SEP] | ");
  const Json answer = Body(Post("/ui/tokens", R"({"text": "a"})"));
  EXPECT_EQ(
      answer["tokens"][0],
      Json({{"token", "[CLS]"}, {"id", 2}, {"special", true}, {"second", false}, {"kept", true}}));
  EXPECT_EQ(answer["tokens"][1]["special"], false);
}

TEST_F(PlaygroundTest, TokensThatTheModelWillNotReadAreTold) {
  EXPECT_EQ(Tokens(R"({"text": "a b c a b c a b"})"), "[CLS] a b c a b c [SEP] | a b ");
  const Json answer = Body(Post("/ui/tokens", R"({"text": "a b c a b c a b"})"));
  EXPECT_EQ(answer["count"], 10);
  EXPECT_EQ(answer["kept"], 8);
}

// Eight tokens are three special ones and five others; the longer text loses.
TEST_F(PlaygroundTest, OfAPairTheLongerOneIsCut) {
  EXPECT_EQ(Tokens(R"({"text": "a", "text_pair": "b c a b c a"})"),
            "[CLS] a [SEP] b c a b [SEP] | c a ");
  EXPECT_EQ(Tokens(R"({"text": "a b c a b", "text_pair": "c"})"),
            "[CLS] a b c a [SEP] c [SEP] | b ");
}

TEST_F(PlaygroundTest, AtMost2048TokensAreListed) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "a ";
  const Json answer = Body(Post("/ui/tokens", "{\"text\": \"" + text + "\"}"));
  EXPECT_EQ(answer["tokens"].size(), 2048u);
  EXPECT_EQ(answer["count"], 3002);
}

TEST_F(PlaygroundTest, RefusesWhatIsNoRequest) {
  for (const char* body : {"", "[]", "{}", R"({"text": 1})", R"({"text": "a", "more": "b"})"}) {
    EXPECT_EQ(Status(Post("/ui/tokens", body)), 400) << body;
  }
  EXPECT_EQ(Status(Post("/ui/tokens", R"({"text": "a", "model": "none"})")), 404);
}

TEST_F(PlaygroundTest, AnswersTellWhereTheTimeWent) {
  const std::string answer = Post("/invocations", "\"a\"");
  const size_t at = answer.find("\r\nServer-Timing: tokenize;dur=");
  ASSERT_NE(at, std::string::npos);
  EXPECT_NE(answer.find(", queue;dur=", at), std::string::npos);
  EXPECT_NE(answer.find(", compute;dur=", at), std::string::npos);
}

}  // namespace
}  // namespace bertie::serve
