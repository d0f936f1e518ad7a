// What is done with the programs and files of deployments and transform jobs that nobody watches
// any more.
#include <filesystem>
#include <string>

#include "cloud/endpoints/deployment.h"
#include "cloud/transform/transform_service.h"
#include "formats/json.h"
#include "left_programs.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using formats::Json;

class LeftDeploymentTest : public LeftProgramsTest {};

// A model's archive may hold a file of the name that the program has for its own.
TEST_F(LeftDeploymentTest, ProgramsAreLookedForWhereTheyAreStarted) {
  const ProcessId other = Leave(folder->path() / "other");
  const fs::path deployment = folder->path() / "e" / "a1";
  const ProcessId server = Leave(deployment / "v" / "0" / "serve");
  const ProcessId accelerator = Leave(deployment / "v" / "11" / "accelerator");
  for (const char* place : {"v/data/serve", "v/data/model/0/serve", "v/0/tmp/0/serve", "v/0/tmp",
                            "v/0/serve/serve", "v/model/serve"}) {
    ASSERT_TRUE(MakeFolders(deployment / place).ok());
    fs::copy_file(folder->path() / "other" / "pid", deployment / place / "pid");
  }
  EndDeployment(deployment);
  EXPECT_TRUE(Ends(server));
  EXPECT_TRUE(Ends(accelerator));
  EXPECT_TRUE(other.Lives());
  EXPECT_TRUE(Exists(deployment / "v" / "data" / "model"));
  RemoveDeployment(deployment);
  EXPECT_TRUE(other.Lives());
  EXPECT_FALSE(Exists(deployment));
}

VariantPlan Variant(const std::string& name) {
  VariantPlan plan;
  plan.name = name;
  plan.model = "m";
  plan.container.data_url = "s3://b/none.tar.gz";
  return plan;
}

std::unique_ptr<Deployment> MakeDeployment(const fs::path& folder,
                                           std::vector<VariantPlan> variants) {
  return std::make_unique<Deployment>(
      Deployment::Options{
          .label = "e",
          .folder = folder,
          .log_file = [folder](const std::string&, size_t) { return folder / "log"; },
          .log = [](std::string_view) {},
          .close_connections = [](uint16_t) {}},
      EndpointPlan{.id = "a1", .config = "c", .variants = std::move(variants)});
}

TEST_F(LeftDeploymentTest, AllServersAreTakenOverWhereOneModelCannotBeFetched) {
  const fs::path place = folder->path() / "e" / "a1";
  const ProcessId server = Leave(place / "second" / "0" / "serve");
  auto deployment = MakeDeployment(place, {Variant("first"), Variant("second")});
  EXPECT_FALSE(deployment->Prepare(*store, true).ok());
  Retired retired = deployment->Retire();
  EXPECT_TRUE(Eventually([&] { return retired.Tick(); }));
  EXPECT_TRUE(Ends(server));
}

// A model that somebody still waits for when the endpoint goes is not fetched any more.
TEST_F(LeftDeploymentTest, NothingComesIntoAFolderThatIsGone) {
  Put("models/a.tar.gz");
  const fs::path place = folder->path() / "e" / "a1";
  VariantPlan several = Variant("v");
  several.container.data_url = "s3://b/models/";
  several.container.multi_model = true;
  auto deployment = MakeDeployment(place, {several});
  ASSERT_TRUE(deployment->Prepare(*store, false).ok());
  const auto target = deployment->MakeRoutes().front().targets.front();
  const auto models = target->models;
  target->outstanding = 1;
  Retired retired = deployment->Retire();
  EXPECT_FALSE(retired.Tick());
  EXPECT_TRUE(models->cache->Get(*store, {"b", "models/a.tar.gz"}).ok());
  target->outstanding = 0;
  Put("models/a.tar.gz", "changed");
  EXPECT_TRUE(Eventually([&] { return retired.Tick(); }));
  EXPECT_FALSE(models->cache->Get(*store, {"b", "models/a.tar.gz"}).ok());
  EXPECT_FALSE(Exists(place));
}

class LeftTransformTest : public LeftProgramsTest {
 protected:
  void SetUp() override {
    LeftProgramsTest::SetUp();
    jobs = folder->path() / "transforms";
  }
  static Json Request(const std::string& name) {
    return {{"TransformJobName", name},
            {"ModelName", "m"},
            {"TransformInput",
             {{"DataSource",
               {{"S3DataSource", {{"S3DataType", "S3Prefix"}, {"S3Uri", "s3://b/in/"}}}}}}},
            {"TransformOutput", {{"S3OutputPath", "s3://b/out"}}},
            {"TransformResources", {{"InstanceType", "ml.m5.large"}, {"InstanceCount", 1}}}};
  }
  // A job that an earlier process had under way, with a server.
  ProcessId Add(const std::string& name, const std::string& request,
                const std::string& status = "InProgress", const std::string& deployment = "{}") {
    const auto nothing = [](const auto&) -> Done { return std::monostate(); };
    EXPECT_TRUE(AddTransform(*state,
                             {.name = name,
                              .created = 1,
                              .status = status,
                              .request = request,
                              .deployment = deployment},
                             nothing, nothing)
                    .ok());
    Write(jobs / name / "transform" / "data" / "model.tar.gz");
    Write(jobs / name / "transform" / "0" / "tmp" / "file");
    Write(jobs / name / "scratch" / ".packed.new-abcdef");
    return Leave(jobs / name / "transform" / "0" / "serve");
  }
  void Open() {
    auto opened = TransformService::Open(settings, *store, *state, jobs, [](std::string_view) {});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    service = *std::move(opened);
  }
  Json Describe(const std::string& name) {
    const Json request{{"TransformJobName", name}};
    auto answer = service->Operations().at("DescribeTransformJob")(formats::DumpJson(request), {});
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? Json::parse(*answer) : Json::object();
  }
  // Of a job once it has ended; its server and its files have ended with it.
  std::string Reason(const std::string& name, const ProcessId& server) {
    EXPECT_TRUE(Eventually([&] { return FindTransform(*state, name)->Ended(); }));
    EXPECT_TRUE(Ends(server)) << name;
    EXPECT_TRUE(Eventually([&] { return !Exists(jobs / name / "scratch"); })) << name;
    EXPECT_FALSE(Exists(jobs / name / "transform" / "data")) << name;
    EXPECT_FALSE(Exists(jobs / name / "transform" / "0" / "tmp")) << name;
    EXPECT_TRUE(Exists(jobs / name / "transform" / "0" / "serve" / "log")) << name;
    const Json job = Describe(name);
    EXPECT_EQ(job["TransformJobName"], name);
    return job.value("FailureReason", job["TransformJobStatus"].get<std::string>());
  }

  Settings settings;
  fs::path jobs;
  std::unique_ptr<TransformService> service;
};

TEST_F(LeftTransformTest, ADamagedJobFailsAndItsServersEnd) {
  Json odd = Request("odd");
  odd["TransformResources"]["InstanceCount"] = "one";
  const ProcessId text = Add("text", "{\"TransformJobName\": ");
  const ProcessId part = Add("odd", formats::DumpJson(odd));
  const ProcessId other = Add("other", formats::DumpJson(Request("another")));
  Put("in/a");
  const ProcessId plan = Add("plan", formats::DumpJson(Request("plan")));
  Open();
  const std::string damaged = "InternalServerError: what was kept of the job is damaged: ";
  EXPECT_TRUE(Reason("text", text).starts_with(damaged + "the request:1:"));
  EXPECT_NE(Reason("odd", part).find("'transformResources.instanceCount'"), std::string::npos);
  EXPECT_TRUE(Reason("other", other).starts_with(damaged + "it is the request of another"));
  EXPECT_NE(Reason("plan", plan).find("what was kept of the deployment is damaged"),
            std::string::npos);
}

TEST_F(LeftTransformTest, NoOutputIsThatOfTwoObjects) {
  Put("in/tr/train");
  Put("in/train");
  Json request = Request("two");
  request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = "s3://b/in/tr";
  const ProcessId two = Add("two", formats::DumpJson(request));
  Open();
  EXPECT_EQ(Reason("two", two),
            "ClientError: Data download failed: the keys 'in/tr/train' and 'in/train' would both "
            "have the output s3://b/out/train.out");
}

TEST_F(LeftTransformTest, ServersThatAreNotNeededAnyMoreEnd) {
  const ProcessId empty = Add("empty", formats::DumpJson(Request("empty")));
  const ProcessId stopping = Add("stopping", formats::DumpJson(Request("stopping")), "Stopping");
  Open();
  EXPECT_NE(Reason("empty", empty).find("No S3 objects found"), std::string::npos);
  EXPECT_EQ(Reason("stopping", stopping), "Stopped");
  service.reset();

  // Killed after the last output.
  Put("in/a");
  const ProcessId written = Add("written", formats::DumpJson(Request("written")));
  Change([](Database& database) { return MarkOutput(database, "written", "out/a.out"); });
  // Killed after the job's end, before its files had gone.
  const ProcessId done = Add("done", formats::DumpJson(Request("done")), "Completed");
  // Of a row that is no more.
  const ProcessId nobody = Leave(jobs / "nobody" / "transform" / "0" / "serve");
  Open();
  EXPECT_EQ(Reason("written", written), "Completed");
  EXPECT_EQ(Reason("done", done), "Completed");
  EXPECT_TRUE(Ends(nobody));
  EXPECT_FALSE(Exists(jobs / "nobody"));
}

}  // namespace
}  // namespace bertie::cloud
