// Deployments as rows have them, whole and damaged.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/directory.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/endpoints.h"
#include "eventually.h"
#include "expect_error.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

using formats::Json;

Json Whole() {
  return Json::parse(R"({
    "id": "a1",
    "config": {"EndpointConfigName": "c", "ProductionVariants": [
      {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.t2.medium",
       "InitialInstanceCount": 1}]},
    "models": {"m": {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://b/k.tar.gz"}}},
    "variants": {"v": {"weight": 0.5, "count": 2}}})");
}

// The whole one with another value at a place; null: nothing there.
std::string With(const char* place, const Json& value) {
  Json deployment = Whole();
  deployment[Json::json_pointer(place)] = value;
  return formats::DumpJson(deployment);
}

TEST(DeploymentRowTest, AWholeOneIsItsPlan) {
  const auto plan = ParsePlan(formats::DumpJson(Whole()));
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->id, "a1");
  EXPECT_EQ(plan->config, "c");
  EXPECT_EQ(plan->instances(), 2);
  EXPECT_EQ(plan->variants[0].weight, 0.5);
  EXPECT_EQ(plan->variants[0].container.data_url, "s3://b/k.tar.gz");
  EXPECT_EQ(IdOf(formats::DumpJson(Whole())), "a1");
}

TEST(DeploymentRowTest, ADamagedOneNamesTheMember) {
  const std::string whole = formats::DumpJson(Whole());
  const std::vector<std::pair<std::string, std::string>> damaged = {
      {"", "not JSON"},
      {whole.substr(0, whole.size() / 2), "not JSON"},
      {"[]", "no JSON object"},
      {"null", "no JSON object"},
      {"{}", "Value null at 'config'"},
      {With("/id", nullptr), "Value null at 'id'"},
      {With("/id", "../../etc"), "Value '../../etc' at 'id'"},
      {With("/config", "c"), "at 'config'"},
      {With("/config/EndpointConfigName", nullptr), "'config.endpointConfigName'"},
      {With("/config/ProductionVariants", Json::array()), "'config.productionVariants'"},
      {With("/config/ProductionVariants/0", 7), "'config.productionVariants.1.member'"},
      {With("/config/ProductionVariants/0/ModelName", nullptr),
       "'config.productionVariants.1.member.modelName'"},
      {With("/models", nullptr), "'models'"},
      {With("/models/m", nullptr), "'models.m'"},
      {With("/models/m/PrimaryContainer", 1), "'models.m.primaryContainer'"},
      {With("/variants", nullptr), "'variants'"},
      {With("/variants/v", "2"), "'variants.v'"},
      {With("/variants/v/weight", "heavy"), "'variants.v.weight'"},
      {With("/variants/v/count", 0), "'variants.v.count'"},
      {With("/variants/v/count", 1e9), "'variants.v.count'"}};
  for (const auto& [text, part] : damaged) {
    SCOPED_TRACE(text);
    EXPECT_ERROR(ParsePlan(text), ErrorCode::kInvalidData, part);
  }
  EXPECT_EQ(IdOf(""), "");
  EXPECT_EQ(IdOf("[1]"), "");
  EXPECT_EQ(IdOf(R"({"id": 1})"), "");
}

class EndpointRowTest : public testing::Test {
 protected:
  void SetUp() override {
    folder.emplace(*TemporaryDirectory::Create());
    const auto log = [](std::string_view) {};
    store = *ObjectStore::Open(folder->path(), log);
    state = *State::Open(folder->path(), {EndpointSchema()});
    logs.emplace(folder->path() / "logs");
  }
  // As a cloud finds it at its start.
  void Open(const EndpointRow& row) {
    ASSERT_TRUE(state
                    ->Change<std::monostate>(
                        [&](Database& database) { return WriteEndpoint(database, row); })
                    .ok());
    auto opened = Endpoints::Open({.state = *state,
                                   .store = *store,
                                   .logs = *logs,
                                   .folder = folder->path() / "endpoints",
                                   .log = [](std::string_view) {},
                                   .servers = servers});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    endpoints = *std::move(opened);
    endpoint = endpoints->Find("e");
  }
  void ExpectFailed(const std::string& part) {
    EXPECT_TRUE(Eventually([&] { return endpoint->row().status == kFailed; }));
    const std::string reason = endpoint->row().failure;
    EXPECT_NE(reason.find(part), std::string::npos) << reason;
    EXPECT_EQ(endpoint->plan(), nullptr);
    ASSERT_TRUE(endpoint->Delete("refused").ok());
    EXPECT_TRUE(Eventually([&] { return endpoint->gone(); }));
  }

  std::optional<TemporaryDirectory> folder;
  std::unique_ptr<ObjectStore> store;
  std::unique_ptr<State> state;
  std::optional<EndpointLogs> logs;
  http::ClientPool servers;
  std::unique_ptr<Endpoints> endpoints;
  std::shared_ptr<Endpoint> endpoint;
};

TEST_F(EndpointRowTest, OneThatServedFails) {
  // Its files may be the only copy.
  const auto left = folder->path() / "endpoints" / "e" / "a1";
  std::filesystem::create_directories(left);
  Open({.name = "e", .status = kInService, .current = With("/models/m", nullptr)});
  EXPECT_TRUE(std::filesystem::exists(left));
  ExpectFailed(
      "InternalServerError: what was kept of the deployment is damaged: 1 validation error "
      "detected: Value null at 'models.m'");
}

TEST_F(EndpointRowTest, OneThatWasBeingMadeFails) {
  Open({.name = "e", .status = kCreating, .target = With("/config", nullptr)});
  ExpectFailed("'config'");
}

TEST_F(EndpointRowTest, OneThatWasBeingChangedFails) {
  Open({.name = "e", .status = kUpdating, .current = "{", .target = "["});
  ExpectFailed("InternalServerError: what was kept of the deployment is damaged: deployment:1:");
}

TEST_F(EndpointRowTest, AWholeTargetIsStillTried) {
  Open({.name = "e", .status = kUpdating, .current = "{", .target = formats::DumpJson(Whole())});
  ExpectFailed("ClientError: Could not find model data at s3://b/k.tar.gz.");
}

}  // namespace
}  // namespace bertie::cloud
