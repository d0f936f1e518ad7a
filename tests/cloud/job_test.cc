// What CreateTrainingJob and ListTrainingJobs are decided by: checks of requests, order.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cloud/jobs/job_listing.h"
#include "cloud/jobs/job_request.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

using formats::Json;

Json GoodRequest() {
  return Json::parse(R"({
    "TrainingJobName": "job", "RoleArn": "arn:aws:iam::123456789012:role/R",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": {
      "S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}}],
    "OutputDataConfig": {"S3OutputPath": "s3://b/out//"},
    "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 2},
    "HyperParameters": {"epochs": "3"},
    "Tags": [{"Key": "k", "Value": "v"}]})");
}

TEST(JobRequestTest, HoldsWhatIsAskedForAndDefaults) {
  auto job = ParseJobRequest(GoodRequest());
  ASSERT_TRUE(job.ok()) << job.error().message;
  ASSERT_EQ(job->channels.size(), 1U);
  EXPECT_EQ(job->channels[0].mode, "File");
  EXPECT_EQ(job->channels[0].source.key, "in");
  EXPECT_FALSE(job->channels[0].sharded);
  EXPECT_EQ(job->output.key, "out");
  EXPECT_TRUE(job->compress);
  EXPECT_EQ(job->instances, 2);
  EXPECT_EQ(job->max_runtime_s, 86400);
  EXPECT_EQ(job->hyperparameters.at("epochs"), "3");
  EXPECT_EQ(job->tags.at("k"), "v");
  EXPECT_FALSE(job->checkpoints);
}

TEST(JobRequestTest, TellsOfAllFaults) {
  Json request = GoodRequest();
  request["TrainingJobName"] = "a_b";
  request["InputDataConfig"][0]["InputMode"] = "Pipe";
  request["InputDataConfig"].push_back("none");
  request["OutputDataConfig"]["S3OutputPath"] = "file:///out";
  request["ResourceConfig"].erase("InstanceCount");
  request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 1;
  request["Tags"][0].erase("Value");
  auto job = ParseJobRequest(request);
  ASSERT_FALSE(job.ok());
  const std::string& message = job.error().message;
  EXPECT_TRUE(message.starts_with("7 validation errors detected: ")) << message;
  for (const char* place :
       {"'trainingJobName'", "'inputDataConfig.1.member.inputMode'", "'inputDataConfig.2.member'",
        "'outputDataConfig.s3OutputPath'", "'resourceConfig.instanceCount'",
        "'stoppingCondition.maxWaitTimeInSeconds'", "'tags.1.member.value'"}) {
    EXPECT_NE(message.find(place), std::string::npos) << place << "\n" << message;
  }
}

TEST(JobRequestTest, CountsNoInstancesThatItWouldNotTake) {
  EXPECT_EQ(InstancesIn(GoodRequest()), 2);
  EXPECT_EQ(InstancesIn(Json::object()), 0);
  EXPECT_EQ(InstancesIn({{"ResourceConfig", "none"}}), 0);
  for (const Json& count : {Json("two"), Json(0), Json(-5), Json(1'000'000'000)}) {
    Json request = GoodRequest();
    request["ResourceConfig"]["InstanceCount"] = count;
    EXPECT_EQ(InstancesIn(request), 0) << count;
  }
}

TEST(JobListingTest, OldestFirst) {
  std::vector<JobRecord> jobs(3);
  jobs[0].name = "c";
  jobs[0].created = 1;
  jobs[1].name = "a";
  jobs[1].created = 3;
  jobs[1].status = "Failed";
  jobs[2].name = "b";
  jobs[2].created = 2;
  Json request{{"MaxResults", 2}};
  auto first = ListJobs(jobs, request, {});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*first)["TrainingJobSummaries"][0]["TrainingJobName"], "c");
  EXPECT_EQ((*first)["TrainingJobSummaries"][1]["TrainingJobName"], "b");
  request["NextToken"] = (*first)["NextToken"];
  auto second = ListJobs(jobs, request, {});
  ASSERT_TRUE(second.ok());
  ASSERT_EQ((*second)["TrainingJobSummaries"].size(), 1U);
  EXPECT_EQ((*second)["TrainingJobSummaries"][0]["TrainingJobStatus"], "Failed");
  EXPECT_FALSE((*second).contains("NextToken"));
  EXPECT_FALSE(ListJobs(jobs, {{"StatusEquals", "InService"}}, {}).ok());
}

}  // namespace
}  // namespace bertie::cloud
