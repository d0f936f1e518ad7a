#include "cli/train/ranks.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cli/checks.h"
#include "comm/gloo_communicator.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

const char* GetVariable(const char* name) { return std::getenv(name); }

}  // namespace

void AddRankFlags(CLI::App& command, RankOptions& options) {
  const char* group = "Ranks";
  command
      .add_option("--nproc", options.nproc,
                  "Run as so many ranks on this machine, which share its threads")
      ->check(CLI::Range(1, 1024))
      ->group(group);
  command
      .add_option("--rank", options.launch.rank,
                  "This process's number among the ranks, from 0; without it the environment's "
                  "(torchrun's, mpirun's, Slurm's, SageMaker's)")
      ->group(group);
  command.add_option("--world-size", options.launch.world_size, "How many ranks there are")
      ->group(group);
  command
      .add_option("--master", options.launch.master,
                  "Where rank 0 listens, instead of MASTER_ADDR and MASTER_PORT")
      ->type_name("HOST[:PORT]")
      ->group(group);
  command
      .add_option("--rank-batch-size", options.rank_batch_size,
                  "Instead of --batch-size: so many sentences of one pass for each rank")
      ->check(AtLeast(1))
      ->group(group);
  command
      .add_option("--wire", options.wire,
                  "How gradients travel between ranks: fp32, or bf16 for half the bytes")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--rank-timeout", options.silence_seconds,
                  "A rank is lost when nothing is heard from it for so many seconds")
      ->check(Between(1, 1e6))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--join-timeout", options.join_seconds,
                  "Seconds in which all ranks must have come")
      ->check(Between(1, 1e6))
      ->capture_default_str()
      ->group(group);
  command
      .add_flag("--insecure-ranks", options.insecure,
                "Let rank 0 listen beyond this machine though BERTIE_RANK_TOKEN is not set")
      ->group(group);
}

Result<comm::Launch> FindLaunch(const RankOptions& options) {
  return comm::ReadLaunch(options.launch, GetVariable);
}

Result<std::unique_ptr<comm::Communicator>> FindRanks(const RankOptions& options,
                                                      const comm::Launch& launch) {
  comm::JoinOptions join;
  join.rank = launch.rank;
  join.size = launch.size;
  join.host = launch.host;
  join.port = launch.port;
  join.job = launch.job;
  if (const char* token = std::getenv("BERTIE_RANK_TOKEN")) join.token = token;
  join.allow_no_token = options.insecure || std::getenv("BERTIE_INSECURE_RANKS") != nullptr;
  join.silence_timeout = Milliseconds(options.silence_seconds);
  join.join_timeout = Milliseconds(options.join_seconds);
  // Bound by the parent of --nproc, so that no other program can take the port meanwhile.
  if (const char* fd = std::getenv("BERTIE_RANK_SOCKET"); fd != nullptr && launch.rank == 0) {
    join.listen_fd = std::atoi(fd);
  }
  join.log = [](const std::string& text) { std::cerr << "ranks: " << text << std::endl; };
  return comm::JoinRanks(join);
}

int ThreadsOfRank(const comm::Launch& launch) {
  const int threads = ThreadPool::DefaultThreads();
  cpu_set_t mine;
  // mpirun and Slurm may have given each rank processors of its own.
  const bool bound = sched_getaffinity(0, sizeof(mine), &mine) == 0 &&
                     CPU_COUNT(&mine) * launch.local_size <= sysconf(_SC_NPROCESSORS_ONLN);
  return bound ? threads : std::max(1, threads / launch.local_size);
}

Status CheckSameOnAllRanks(const train::Recipe& recipe, comm::Communicator& communicator) {
  std::string text = train::RecipeToJson(recipe).dump();
  double bytes[] = {communicator.rank() == 0 ? static_cast<double>(text.size()) : 0};
  BERTIE_RETURN_IF_ERROR(communicator.AllReduce(std::span(bytes)));
  std::string expected = text;
  expected.resize(static_cast<size_t>(bytes[0]));
  BERTIE_RETURN_IF_ERROR(communicator.Broadcast(std::as_writable_bytes(std::span(expected)), 0));
  std::vector<double> differs(static_cast<size_t>(communicator.size()));
  differs[static_cast<size_t>(communicator.rank())] = expected != text;
  BERTIE_RETURN_IF_ERROR(communicator.AllReduce(std::span(differs)));
  const auto found = std::find(differs.begin(), differs.end(), 1.0);
  if (found == differs.end()) return {};
  // Each rank has its own words for it: none leaves while another has not come so far.
  (void)communicator.Barrier();
  const std::string who = "rank " + std::to_string(found - differs.begin());
  std::string what;
  if (expected != text) {
    auto json = formats::ParseJson(expected, "rank 0's options");
    if (!json.ok()) return json.error();
    BERTIE_ASSIGN_OR_RETURN(const auto rank0, train::RecipeFromJson(*json, "rank 0's options"));
    for (const auto& line : train::CompareRecipes(recipe, rank0)) what += "; " + line;
  }
  return Error{ErrorCode::kInvalidArgument,
               who + " has other flags or data than rank 0" + what +
                   (what.empty() ? "; its own message says which" : " as on rank 0")};
}

}  // namespace bertie::cli
