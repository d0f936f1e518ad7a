#include "comm/launch.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"

namespace bertie::comm {
namespace {

using Variables = std::map<std::string, std::string>;

Result<Launch> Read(const Variables& variables, const LaunchFlags& flags = {}) {
  return ReadLaunch(flags, [&](const char* name) -> const char* {
    auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string Text(const Result<Launch>& launch) {
  if (!launch.ok()) return launch.error().message;
  return std::to_string(launch->rank) + "/" + std::to_string(launch->size) + "/" +
         std::to_string(launch->local_size) + " " + launch->host + ":" +
         std::to_string(launch->port) + " " + launch->job;
}

TEST(Launch, NothingSaidIsOneRank) {
  EXPECT_EQ(Text(Read({})), "0/1/1 :0 ");
  EXPECT_EQ(Text(Read({{"RANK", "0"}, {"WORLD_SIZE", "1"}})), "0/1/1 :0 ");
  EXPECT_EQ(Text(Read({{"RANK", ""}, {"WORLD_SIZE", ""}})), "0/1/1 :0 ");
  EXPECT_EQ(Text(Read({{"SM_HOSTS", "[\"algo-1\"]"}, {"SM_CURRENT_HOST", "algo-1"}})), "0/1/1 :0 ");
}

TEST(Launch, Torchrun) {
  Variables variables = {{"RANK", "3"},
                         {"WORLD_SIZE", "4"},
                         {"LOCAL_RANK", "1"},
                         {"LOCAL_WORLD_SIZE", "2"},
                         {"MASTER_ADDR", "n01"},
                         {"MASTER_PORT", "12355"},
                         {"TORCHELASTIC_RUN_ID", "abc"}};
  EXPECT_EQ(Text(Read(variables)), "3/4/2 n01:12355 abc");
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(Text(Read(variables)), "3/4/2 n01:12356 abc");
  variables.erase("TORCHELASTIC_USE_AGENT_STORE");
  variables.erase("MASTER_PORT");
  EXPECT_EQ(Text(Read(variables)), "3/4/2 n01:29500 abc");
  variables["WORLD_SIZE"] = "3";
  EXPECT_ERROR(Read(variables), ErrorCode::kInvalidArgument, "RANK is '3', expected 0 to 2");
  variables["WORLD_SIZE"] = "many";
  EXPECT_ERROR(Read(variables), ErrorCode::kInvalidArgument, "WORLD_SIZE is 'many'");
  EXPECT_ERROR(Read({{"RANK", "1"}, {"WORLD_SIZE", "2"}}), ErrorCode::kInvalidArgument,
               "set MASTER_ADDR and MASTER_PORT");
  EXPECT_ERROR(
      Read({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
      ErrorCode::kInvalidArgument, "MASTER_PORT is '70000'");
}

TEST(Launch, Mpirun) {
  Variables variables = {{"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "2"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  EXPECT_EQ(Text(Read(variables)), "1/2/2 127.0.0.1:29500 ");
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  EXPECT_ERROR(Read(variables), ErrorCode::kInvalidArgument, "MASTER_ADDR");
  variables["MASTER_ADDR"] = "n01";
  EXPECT_EQ(Text(Read(variables)), "1/2/1 n01:29500 ");
  EXPECT_EQ(Text(Read({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}, {"MPI_LOCALNRANKS", "3"}})),
            "2/3/3 127.0.0.1:29500 ");
}

TEST(Launch, Slurm) {
  Variables variables = {{"SLURM_PROCID", "5"},
                         {"SLURM_NTASKS", "8"},
                         {"SLURM_JOB_ID", "4200123"},
                         {"SLURM_STEP_ID", "0"},
                         {"SLURM_STEP_TASKS_PER_NODE", "2(x4)"},
                         {"SLURM_JOB_NODELIST", "gpu[03-06]"}};
  EXPECT_EQ(Text(Read(variables)), "5/8/2 gpu03:20123 slurm 4200123.0");
  variables["PMI_RANK"] = "5";
  variables["PMI_SIZE"] = "8";
  EXPECT_EQ(Text(Read(variables)), "5/8/2 gpu03:20123 slurm 4200123.0");
  variables["SLURM_STEP_TASKS_PER_NODE"] = "8";
  EXPECT_EQ(Text(Read(variables)), "5/8/8 127.0.0.1:20123 slurm 4200123.0");
  variables.erase("SLURM_STEP_ID");
  variables.erase("PMI_RANK");
  EXPECT_EQ(Text(Read(variables)), "0/1/1 :0 ") << "a batch script is no rank";
}

TEST(Launch, SageMaker) {
  Variables variables = {{"SM_HOSTS", "[\"algo-1\", \"algo-2\"]"},
                         {"SM_CURRENT_HOST", "algo-2"},
                         {"TRAINING_JOB_NAME", "bert-1"}};
  EXPECT_EQ(Text(Read(variables)), "1/2/1 algo-1:7777 bert-1");
  variables["MASTER_ADDR"] = "127.0.0.1";
  variables["MASTER_PORT"] = "4000";
  EXPECT_EQ(Text(Read(variables)), "1/2/1 127.0.0.1:4000 bert-1");
  variables["SM_CURRENT_HOST"] = "algo-3";
  EXPECT_ERROR(Read(variables), ErrorCode::kInvalidArgument, "'algo-3', which is not in SM_HOSTS");
}

TEST(Launch, FlagsComeFirst) {
  const Variables variables = {{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "n01"}};
  EXPECT_EQ(Text(Read(variables, {1, 2, "n02:5"})), "1/2/1 n02:5 ");
  EXPECT_EQ(Text(Read(variables, {{}, {}, "n02"})), "3/4/1 n02:29500 ");
  EXPECT_EQ(Text(Read({}, {1, 2, "[::1]:77"})), "1/2/1 ::1:77 ");
  EXPECT_EQ(Text(Read({}, {1, 2, "::1"})), "1/2/1 ::1:29500 ");
  EXPECT_ERROR(Read({}, {1, {}, ""}), ErrorCode::kInvalidArgument, "go together");
  EXPECT_ERROR(Read({}, {2, 2, "a"}), ErrorCode::kInvalidArgument, "rank 2 of 2");
  EXPECT_ERROR(Read({}, {1, 2, "a:b"}), ErrorCode::kInvalidArgument, "port");
}

TEST(Launch, SlurmHosts) {
  const std::map<std::string, std::string> expected = {{"n1", "n1"},
                                                       {"n1,n2", "n1"},
                                                       {"node-[07,09-11],login", "node-07"},
                                                       {"n[001-128]", "n001"},
                                                       {"n[5]", "n5"}};
  for (const auto& [list, host] : expected) {
    auto first = FirstSlurmHost(list);
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(*first, host) << list;
  }
  EXPECT_FALSE(FirstSlurmHost("n[1-2").ok());
  EXPECT_FALSE(FirstSlurmHost("n[]").ok());
}

TEST(Launch, HostLists) {
  EXPECT_EQ(*ParseHostList("[\"a\",\"b\"]"), (std::vector<std::string>{"a", "b"}));
  for (const char* wrong : {"", "[]", "[", "a", "[a]", "[\"a\"", "[\"a\",]", "[\"a\"\"b\"]",
                            "[\"\"]", "[\"a\\n\"]", "[\"a\"]]", "[\"a]", "{\"a\":1}"}) {
    EXPECT_ERROR(ParseHostList(wrong), ErrorCode::kInvalidArgument, "expected a list");
  }
}

}  // namespace
}  // namespace bertie::comm
