// What endpoints are decided by: checks of requests, pages, weights, the words for errors.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/invocation.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/endpoints/routes.h"
#include "cloud/json_service.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;

std::vector<std::shared_ptr<Target>> Targets(std::initializer_list<uint16_t> ports) {
  std::vector<std::shared_ptr<Target>> targets;
  for (const uint16_t port : ports) {
    targets.push_back(std::make_shared<Target>());
    targets.back()->port = port;
  }
  return targets;
}

TEST(RoutesTest, ByWeight) {
  Routes routes(1);
  EXPECT_EQ(routes.Choose("").fault, RouteFault::kNoRoutes);
  routes.Replace({{.variant = "a", .weight = 3, .targets = Targets({1})},
                  {.variant = "none", .weight = 0, .targets = Targets({2})},
                  {.variant = "b", .weight = 1, .targets = Targets({3})}});
  std::map<std::string, int> counts;
  constexpr int kTurns = 40'000;
  for (int i = 0; i < kTurns; ++i) ++counts[routes.Choose("").lease->variant()];
  EXPECT_EQ(counts.count("none"), 0U);
  // Five standard deviations of a binomial with p = 1/4.
  EXPECT_NEAR(counts["b"], kTurns / 4, 433);
  EXPECT_EQ(routes.Choose("none").port, 2);
  EXPECT_EQ(routes.Choose("other").fault, RouteFault::kUnknownVariant);

  routes.Replace({{.variant = "a", .weight = 0, .targets = Targets({1})}});
  EXPECT_EQ(routes.Choose("").fault, RouteFault::kNoWeight);
}

TEST(RoutesTest, TheLeastBusyThatTakesRequests) {
  Routes routes(2);
  const auto targets = Targets({11, 12, 0});
  routes.Replace({{.variant = "a", .targets = targets}});
  {
    std::vector<Choice> held;
    for (int i = 0; i < 10; ++i) held.push_back(routes.Choose(""));
    EXPECT_EQ(targets[0]->outstanding, 5);
    EXPECT_EQ(targets[1]->outstanding, 5);
    EXPECT_EQ(targets[2]->outstanding, 0);
  }
  EXPECT_EQ(targets[0]->outstanding, 0);
  EXPECT_EQ(routes.Choose("", targets[0].get()).port, 12);
  {
    const Choice first = routes.Choose("", nullptr, 1);
    const Choice second = routes.Choose("", nullptr, 1);
    EXPECT_NE(first.port, second.port);
    EXPECT_EQ(routes.Choose("", nullptr, 1).fault, RouteFault::kDown);
  }
  targets[1]->port = 0;
  EXPECT_EQ(routes.Choose("", targets[0].get()).fault, RouteFault::kDown);
}

http::Response Answered(int status, const std::string& body) {
  static const Settings settings;
  return InvocationAnswer(http::ClientAnswer{.status = status, .fields = {}, .body = body},
                          {.settings = settings, .endpoint = "e", .variant = "v"});
}
http::Response Unanswered(ErrorCode code) {
  static const Settings settings;
  return InvocationAnswer(Error{code, "why"},
                          {.settings = settings, .endpoint = "e", .variant = "v"});
}
std::string CodeOf(const http::Response& response) {
  for (const auto& field : response.fields) {
    if (field.name == "x-amzn-ErrorType") return std::to_string(response.status) + field.value;
  }
  return std::to_string(response.status);
}

TEST(InvocationTest, AnswersInTheRuntimesWords) {
  EXPECT_EQ(CodeOf(Answered(200, "[]")), "200");
  EXPECT_EQ(CodeOf(Answered(503, R"({"type":"QueueFull"})")), "503ServiceUnavailable");
  EXPECT_EQ(CodeOf(Unanswered(ErrorCode::kUnavailable)), "503ServiceUnavailable");
  EXPECT_EQ(CodeOf(Unanswered(ErrorCode::kIo)), "503ServiceUnavailable");
  EXPECT_EQ(CodeOf(Unanswered(ErrorCode::kCancelled)), "500InternalFailure");
  EXPECT_EQ(CodeOf(Unanswered(ErrorCode::kInvalidData)), "424ModelError");

  const http::Response refused = Answered(400, R"({"code":400,"type":"InvalidJson"})");
  EXPECT_EQ(CodeOf(refused), "424ModelError");
  const Json body = Json::parse(refused.body);
  EXPECT_EQ(body["OriginalStatusCode"], 400);
  EXPECT_EQ(body["OriginalMessage"], R"({"code":400,"type":"InvalidJson"})");
  EXPECT_NE(body["Message"].get<std::string>().find("Received client error (400) from primary"),
            std::string::npos);
  EXPECT_NE(Answered(500, "x").body.find("server error (500)"), std::string::npos);

  for (const http::Response& late : {Unanswered(ErrorCode::kDeadlineExceeded),
                                     Answered(503, R"({"type":"DeadlineExceeded"})")}) {
    EXPECT_EQ(CodeOf(late), "424ModelError");
    EXPECT_EQ(Json::parse(late.body)["OriginalStatusCode"], 0);
  }
}

TEST(InvocationTest, ChecksAndPassesFields) {
  http::RequestHead head;
  head.method = "POST";
  head.path = "/endpoints/e/invocations";
  head.fields = {{"content-type", "text/csv"},
                 {"Authorization", "secret"},
                 {"x-amzn-sagemaker-custom-attributes", "a"},
                 {"X-Amzn-SageMaker-Other", "b"}};
  EXPECT_FALSE(CheckInvocation(head));
  EXPECT_EQ(FieldsForServer(head).size(), 2U);
  EXPECT_EQ(EndpointInPath(head.path), "e");
  head.content_length = kMaxInvocationBody + 1;
  EXPECT_EQ(CheckInvocation(head)->status, 413);
  head.content_length = 0;
  head.fields.push_back({"X-Amzn-SageMaker-Inference-Id", std::string(65, 'x')});
  EXPECT_EQ(CodeOf(*CheckInvocation(head)), "400ValidationError");

  EXPECT_FALSE(CheckTargetModel(true, "m.tar.gz"));
  EXPECT_FALSE(CheckTargetModel(false, ""));
  EXPECT_EQ(CodeOf(*CheckTargetModel(false, "m.tar.gz")), "400ValidationError");
  EXPECT_EQ(CodeOf(*CheckTargetModel(true, "")), "400ValidationError");
}

TEST(RequestReaderTest, TellsOfAllFaults) {
  const Json request = Json::parse(R"({
    "EndpointConfigName": "-bad",
    "ProductionVariants": [
      {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.t2.medium",
       "InitialInstanceCount": 0, "AcceleratorType": "ml.eia9.huge"},
      {"VariantName": "a", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}]})");
  RequestReader reader(request);
  reader.Text("EndpointConfigName", Presence::kRequired, NameRule());
  ReadVariants(reader);
  const std::string message = reader.failure()->message;
  EXPECT_TRUE(
      message.starts_with("5 validation errors detected: Value '-bad' at "
                          "'endpointConfigName' failed to satisfy constraint: Member must "
                          "satisfy regular expression pattern: "))
      << message;
  for (const char* part :
       {"Value '0' at 'productionVariants.1.member.initialInstanceCount'",
        "Value 'ml.eia9.huge' at 'productionVariants.1.member.acceleratorType'",
        "Value null at 'productionVariants.2.member.modelName'", "names of variants must differ"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
  }
  EXPECT_FALSE(ParseRequest("[]").ok());
  EXPECT_FALSE(ParseRequest("{").ok());
}

TEST(EndpointPlanTest, KeepsWhatWasChangedSince) {
  Json deployment = Json::parse(R"({
    "id": "1",
    "config": {"EndpointConfigName": "c", "ProductionVariants": [
      {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.t2.medium",
       "InitialInstanceCount": 2, "AcceleratorType": "ml.eia2.large"}]},
    "models": {"m": {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://b/k.tar.gz",
      "Environment": {"A": "1"}}}},
    "variants": {}})");
  EndpointPlan plan = *PlanOf(deployment);
  ASSERT_EQ(plan.variants.size(), 1U);
  EXPECT_EQ(plan.config, "c");
  EXPECT_EQ(plan.variants[0].count, 2);
  EXPECT_EQ(plan.variants[0].weight, 1);
  EXPECT_EQ(plan.variants[0].accelerator_type, "ml.eia2.large");
  EXPECT_EQ(plan.variants[0].container.data_url, "s3://b/k.tar.gz");
  Override(deployment, "a", "weight", 0.5);
  Override(deployment, "a", "count", 3);
  plan = *PlanOf(deployment);
  EXPECT_EQ(plan.variants[0].count, 3);
  EXPECT_EQ(plan.variants[0].weight, 0.5);
}

TEST(PagingTest, GoesOnWhereThePageBeforeEnded) {
  std::vector<Listed> items;
  for (int i = 0; i < 25; ++i) {
    items.push_back({.name = "n" + std::to_string(i), .created = i / 2, .status = "InService"});
  }
  std::set<std::string> seen;
  Json request{{"MaxResults", 7}, {"SortBy", "CreationTime"}, {"StatusEquals", "InService"}};
  for (int pages = 1;; ++pages) {
    auto page = SelectPage(request, items);
    ASSERT_TRUE(page.ok());
    for (const Listed& item : page->items) EXPECT_TRUE(seen.insert(item.name).second);
    // What is added before the page, or removed, does not move the others.
    items.push_back({.name = "new" + std::to_string(pages), .created = 1000});
    if (page->next_token.empty()) break;
    request["NextToken"] = page->next_token;
  }
  EXPECT_EQ(seen.size(), 25U);
  auto named =
      SelectPage({{"NameContains", "n1"}, {"SortBy", "Name"}, {"SortOrder", "Ascending"}}, items);
  EXPECT_EQ(named->items.front().name, "n1");
  EXPECT_FALSE(SelectPage({{"NextToken", "?"}}, items).ok());
  EXPECT_FALSE(SelectPage({{"MaxResults", 0}}, items).ok());
}

TEST(ModelDataTest, PlacesInS3) {
  for (const char* url :
       {"s3://bucket/a/k.tar.gz", "https://bucket.s3.us-west-2.amazonaws.com/a/k.tar.gz",
        "https://s3.us-west-2.amazonaws.com/bucket/a/k.tar.gz"}) {
    const auto place = ParseS3Url(url);
    ASSERT_TRUE(place) << url;
    EXPECT_EQ(place->bucket, "bucket") << url;
    EXPECT_EQ(place->key, "a/k.tar.gz") << url;
  }
  for (const char* url : {"", "s3://", "s3:///k", "https://example.com/k", "file:///etc/passwd"}) {
    EXPECT_FALSE(ParseS3Url(url)) << url;
  }
}

}  // namespace
}  // namespace bertie::cloud
