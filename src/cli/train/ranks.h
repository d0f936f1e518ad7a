// A training run of several ranks, as its flags and its starter ask for it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "cli/commands.h"
#include "comm/communicator.h"
#include "comm/launch.h"
#include "train/recipe.h"

namespace bertie::cli {

struct RankOptions {
  comm::LaunchFlags launch;
  int nproc = 0;  // ranks to start on this machine; 0: none
  std::string wire = "fp32";
  bool insecure = false;        // listen beyond this machine without a token
  double silence_seconds = 30;  // a rank from which nothing comes for so long is lost
  double join_seconds = 600;    // all ranks must have come by then
  int64_t rank_batch_size = 0;  // 0: --batch-size is the batch
};

void AddRankFlags(CLI::App& command, RankOptions& options);

// Which rank this is, by the flags and the environment.
Result<comm::Launch> FindLaunch(const RankOptions& options);

// Finds the other ranks, or returns at once where there are none. The token is BERTIE_RANK_TOKEN's
// value.
Result<std::unique_ptr<comm::Communicator>> FindRanks(const RankOptions& options,
                                                      const comm::Launch& launch);

// Threads for this rank where the user names no number: its part of the machine's.
int ThreadsOfRank(const comm::Launch& launch);

// Collective. kInvalidArgument on every rank where one of them has other options or other data
// than rank 0; that rank's message says what differs.
Status CheckSameOnAllRanks(const train::Recipe& recipe, comm::Communicator& communicator);

}  // namespace bertie::cli
