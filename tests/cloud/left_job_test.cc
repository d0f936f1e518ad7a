// What is done with the ranks and files of training jobs whose cloud was killed, whose row is
// damaged, or whose disk is full.
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>

#include "cloud/folders.h"
#include "cloud/jobs/training_service.h"
#include "formats/json.h"
#include "left_programs.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using formats::Json;

// No file of this process can grow beyond a size: as on a full disk. Programs that run already are
// not told.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    previous_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, previous_);
  }

 private:
  sighandler_t previous_;
  rlimit before_{};
};

class LeftJobTest : public LeftProgramsTest {
 protected:
  void SetUp() override {
    LeftProgramsTest::SetUp();
    jobs = folder->path() / "jobs";
    go = folder->path() / "go";
    settings.images["work"] = "while [ ! -e " + go.string() + " ]; do sleep 0.01; done; " +
                              "head -c 8000000 /dev/urandom > $SM_MODEL_DIR/weights";
    settings.images["fail"] = "while [ ! -e " + go.string() + " ]; do sleep 0.01; done; " +
                              "echo out of patience > $SAGEMAKER_BASE_DIR/output/failure; exit 3";
  }
  void TearDown() override {
    service.reset();
    for (const auto& job : FoldersIn(jobs)) left.push_back(job / "algo-1");
    LeftProgramsTest::TearDown();
  }
  static Json Request(const std::string& name, const std::string& image = "work") {
    return {{"TrainingJobName", name},
            {"RoleArn", "arn:aws:iam::123456789012:role/R"},
            {"AlgorithmSpecification", {{"TrainingImage", image}, {"TrainingInputMode", "File"}}},
            {"OutputDataConfig", {{"S3OutputPath", "s3://b/out"}}},
            {"ResourceConfig", {{"InstanceType", "ml.m5.large"}, {"InstanceCount", 1}}},
            {"StoppingCondition", {{"MaxRuntimeInSeconds", 600}}}};
  }
  // A job that an earlier process had under way, with a rank and its files.
  ProcessId Add(const std::string& name, const std::string& body,
                const std::string& status = "InProgress", const std::string& details = "{}",
                const std::string& script = "sleep 1000") {
    using View = std::string_view;
    Change([&](Database& database) -> Done {
      BERTIE_RETURN_IF_ERROR(database.Run(
          "INSERT INTO training_jobs(name, created, modified, status, secondary, body, details) "
          "VALUES(?,?,?,?,?,?,?)",
          {View(name), Now(), Now(), View(status),
           View(status == "InProgress" ? "Training" : status), View(body), View(details)}));
      return std::monostate();
    });
    Write(jobs / name / "algo-1" / "ml" / "model" / "weights", "the weights");
    return Leave(jobs / name / "algo-1", script);
  }
  void Open() {
    auto opened = TrainingService::Open(settings, *store, *state, jobs, [](std::string_view) {});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    service = *std::move(opened);
  }
  Outcome<std::string> Call(const std::string& operation, const Json& request) {
    return service->Operations().at(operation)(formats::DumpJson(request), {});
  }
  Json Describe(const std::string& name) {
    auto answer = Call("DescribeTrainingJob", {{"TrainingJobName", name}});
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? Json::parse(*answer) : Json::object();
  }
  bool Becomes(const std::string& name, const char* member, const std::string& value) {
    const bool is = Eventually([&] { return Describe(name)[member] == value; });
    EXPECT_TRUE(is) << Describe(name).dump(1);
    return is;
  }
  bool Removed(const fs::path& path) {
    return Eventually([&] { return !Exists(path); });
  }

  Settings settings;
  fs::path jobs, go;
  std::unique_ptr<TrainingService> service;
};

TEST_F(LeftJobTest, ADamagedJobFailsAndKeepsItsFiles) {
  Json odd = Request("odd");
  odd["ResourceConfig"]["InstanceCount"] = "one";
  odd["StoppingCondition"] = 7;
  const ProcessId text = Add("text", "{\"TrainingJobName\": ");
  const ProcessId part = Add("odd", formats::DumpJson(odd));
  const ProcessId other = Add("other", formats::DumpJson(Request("another")));
  const ProcessId ended = Add("ended", formats::DumpJson(odd), "Failed");
  for (int start = 0; start < 2; ++start) {
    Open();
    for (const char* name : {"text", "odd", "other"}) {
      const Json job = Describe(name);
      EXPECT_EQ(job["TrainingJobStatus"], "Failed");
      EXPECT_TRUE(job["FailureReason"].get<std::string>().starts_with(
          "InternalServerError: what was kept of the job is damaged: "));
      EXPECT_TRUE(Exists(jobs / name / "algo-1" / "ml" / "model" / "weights"));
    }
    EXPECT_EQ(Describe("ended")["TrainingJobStatus"], "Failed");
    EXPECT_TRUE(Call("ListTrainingJobs", Json::object()).ok());
    service.reset();
  }
  for (const ProcessId& rank : {text, part, other, ended}) EXPECT_TRUE(Ends(rank));
  Open();
  ASSERT_TRUE(Call("DeleteTrainingJob", {{"TrainingJobName", "text"}}).ok());
  EXPECT_FALSE(Exists(jobs / "text"));
}

TEST_F(LeftJobTest, AJobGoesOnWithoutItsHistory) {
  for (const char* details : {"", "[", "[]", R"({"metrics": {"m": 1}, "transitions": 3})",
                              R"({"metrics": [1], "transitions": {"a": "b"}, "starts": "x"})"}) {
    SCOPED_TRACE(details);
    const fs::path done = folder->path() / "done";
    const ProcessId rank = Add("job", formats::DumpJson(Request("job")), "InProgress", details,
                               "while [ ! -e " + done.string() + " ]; do sleep 0.01; done");
    Open();
    EXPECT_TRUE(rank.Lives());
    Write(done);
    ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Completed"));
    EXPECT_TRUE(store->Find("b", "out/job/output/model.tar.gz").ok());
    fs::remove(done);
    ASSERT_TRUE(Call("DeleteTrainingJob", {{"TrainingJobName", "job"}}).ok());
    service.reset();
  }
}

TEST_F(LeftJobTest, AJobWithoutItsHistoryHasNoMoreTimeThanItsRequestSays) {
  Json request = Request("job");
  request["StoppingCondition"]["MaxRuntimeInSeconds"] = 1;
  const ProcessId rank = Add("job", formats::DumpJson(request), "InProgress", "[");
  Open();
  ASSERT_TRUE(Becomes("job", "SecondaryStatus", "MaxRuntimeExceeded"));
  EXPECT_FALSE(rank.Lives());
}

TEST_F(LeftJobTest, AJobWithoutItsHistoryIsStoppedNevertheless) {
  const ProcessId rank = Add("job", formats::DumpJson(Request("job")), "Stopping", "[");
  Open();
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Stopped"));
  EXPECT_FALSE(rank.Lives());
}

TEST_F(LeftJobTest, FilesThatNobodyNeedsGo) {
  const ProcessId nobody = Leave(jobs / "nobody" / "algo-1");
  Add("ended", formats::DumpJson(Request("ended")), "Completed", "{}", "echo a line");
  Write(jobs / "ended" / ".upload.tar.gz.new-abcdef");
  Write(jobs / "ended" / "sourcedir.tar.gz");
  Open();
  EXPECT_TRUE(Ends(nobody));
  EXPECT_FALSE(Exists(jobs / "nobody"));
  EXPECT_FALSE(Exists(jobs / "ended" / ".upload.tar.gz.new-abcdef"));
  EXPECT_FALSE(Exists(jobs / "ended" / "sourcedir.tar.gz"));
  EXPECT_FALSE(Exists(jobs / "ended" / "algo-1" / "ml"));
  EXPECT_TRUE(Exists(jobs / "ended" / "algo-1" / "log"));
}

TEST_F(LeftJobTest, NothingIsCopiedWhereAnObjectCannotBeAFile) {
  Put("in/a.csv");
  Put("in/b//c.csv");
  Json request = Request("job");
  request["InputDataConfig"] = Json::parse(R"([{"ChannelName": "training", "DataSource":
      {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}}])");
  auto job = ParseJobRequest(request);
  ASSERT_TRUE(job.ok()) << job.error().message;
  JobFiles files(*store, *job, jobs / "job");
  const Done prepared = files.Prepare([] { return true; });
  ASSERT_FALSE(prepared.ok());
  EXPECT_STREQ(prepared.error().code, "ClientError");
  EXPECT_NE(prepared.error().message.find("'in/b//c.csv'"), std::string::npos)
      << prepared.error().message;
  EXPECT_TRUE(FilesBelow(jobs).empty());
}

TEST_F(LeftJobTest, AnObjectThatAManifestHasTwiceIsOneFileOfEachHost) {
  Put("in/a.csv");
  Put("in/manifest", R"([{"prefix": "s3://b/in/"}, "a.csv", "a.csv"])");
  Json request = Request("job");
  request["ResourceConfig"]["InstanceCount"] = 2;
  request["InputDataConfig"] = Json::parse(R"([{"ChannelName": "training", "DataSource":
      {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/in/manifest"}}}])");
  auto job = ParseJobRequest(request);
  ASSERT_TRUE(job.ok()) << job.error().message;
  JobFiles files(*store, *job, jobs / "job");
  const Done prepared = files.Prepare([] { return true; });
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  for (const JobHost& host : files.hosts()) {
    EXPECT_TRUE(Exists(host.base / "input" / "data" / "training" / "a.csv"));
  }
}

TEST_F(LeftJobTest, ResultsWaitForRoomOnTheDisk) {
  Open();
  ASSERT_TRUE(Call("CreateTrainingJob", Request("job")).ok());
  ASSERT_TRUE(Becomes("job", "SecondaryStatus", "Training"));
  {
    const FullDisk full(4 << 20);
    Write(go);
    ASSERT_TRUE(Eventually([&] {
      return Describe("job")["SecondaryStatusTransitions"]
          .back()["StatusMessage"]
          .get<std::string>()
          .starts_with("Uploading generated training model, again and again until");
    })) << Describe("job").dump(1);
  }
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Completed"));
  EXPECT_GT(store->Find("b", "out/job/output/model.tar.gz")->size, 7'000'000U);
  EXPECT_TRUE(Removed(jobs / "job" / "algo-1" / "ml"));
}

// Which a full disk does not take down.
TEST_F(LeftJobTest, AStopEndsTheWaitForRoom) {
  Open();
  ASSERT_TRUE(Call("CreateTrainingJob", Request("job")).ok());
  ASSERT_TRUE(Becomes("job", "SecondaryStatus", "Training"));
  const FullDisk full(1);
  Write(go, "");
  ASSERT_TRUE(Becomes("job", "SecondaryStatus", "Uploading"));
  EXPECT_FALSE(Call("StopTrainingJob", {{"TrainingJobName", "job"}}).ok());
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Failed"));
  EXPECT_NE(Describe("job")["FailureReason"].get<std::string>().find("upload of the results"),
            std::string::npos);
}

// The next process says how it ended from what is in its files.
TEST_F(LeftJobTest, FilesStayUntilTheEndIsWrittenDown) {
  Open();
  ASSERT_TRUE(Call("CreateTrainingJob", Request("job", "fail")).ok());
  ASSERT_TRUE(Becomes("job", "SecondaryStatus", "Training"));
  {
    const FullDisk full(1);
    Write(go, "");
    ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Failed"));
    service.reset();
  }
  Open();
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Failed"));
  EXPECT_EQ(Describe("job")["FailureReason"], "AlgorithmError: out of patience, exit code: 3");
  EXPECT_TRUE(Removed(jobs / "job" / "algo-1" / "ml"));
}

// Before its ranks have begun nothing of it has been lost, however often that happens.
TEST_F(LeftJobTest, AnyNumberOfCloudsMayEndWhileItsDataComes) {
  Open();
  ASSERT_TRUE(Call("CreateTrainingJob", Request("job")).ok());
  for (int start = 0; start < 6; ++start) {
    service.reset();
    Open();
  }
  Write(go);
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Completed"));
}

TEST_F(LeftJobTest, NothingIsLeftOfADeletedJob) {
  Open();
  Json request = Request("job");
  request["Tags"] = Json::parse(R"([{"Key": "k", "Value": "v"}])");
  ASSERT_TRUE(Call("CreateTrainingJob", request).ok());
  Write(go);
  ASSERT_TRUE(Becomes("job", "TrainingJobStatus", "Completed"));
  ASSERT_TRUE(Call("DeleteTrainingJob", {{"TrainingJobName", "job"}}).ok());
  EXPECT_FALSE(Exists(jobs / "job"));
  Change([](Database& database) -> Done {
    BERTIE_ASSIGN_OR_RETURN(Rows rows, database.Query("SELECT 1 FROM tags"));
    BERTIE_ASSIGN_OR_RETURN(const bool any, rows.Next());
    EXPECT_FALSE(any);
    return std::monostate();
  });
}

}  // namespace
}  // namespace bertie::cloud
