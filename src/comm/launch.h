// Who starts a run's ranks says in the environment which one this process is. Read here; nothing is
// connected.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::comm {

// What --rank, --world-size and --master say, where given. They come before the environment.
struct LaunchFlags {
  std::optional<int> rank;
  std::optional<int> world_size;
  std::string master;  // HOST:PORT or HOST
};

struct Launch {
  int rank = 0;
  int size = 1;
  int local_size = 1;  // ranks of the run on this machine, where it is known
  std::string host;    // of rank 0; empty with size 1
  uint16_t port = 0;
  std::string job;      // a name of the run; may be empty
  std::string starter;  // "torchrun's environment", for messages; "" for a run of one rank
};

// A variable's value, null when it is not set: std::getenv in the program.
using Environment = std::function<const char*(const char*)>;

// In this order: the flags; RANK and WORLD_SIZE with MASTER_ADDR and MASTER_PORT (torchrun,
// Kubeflow's PyTorchJob, `bertie train --nproc`); OMPI_COMM_WORLD_* or PMI_* (mpirun); SLURM_*
// within an srun step; SM_HOSTS and SM_CURRENT_HOST (SageMaker). MASTER_ADDR and MASTER_PORT say
// where rank 0 is, whoever started the ranks (one port above where torchrun's own store has that
// one, which TORCHELASTIC_USE_AGENT_STORE says); without them it is Slurm's or SageMaker's first
// host, or this machine when all ranks are on it.
//
// kInvalidArgument, with the variables' names, where they are incomplete or contradict each other.
Result<Launch> ReadLaunch(const LaunchFlags& flags, const Environment& environment);

// The first host of a Slurm node list: "node-[07,09-11],login" gives "node-07".
Result<std::string> FirstSlurmHost(const std::string& list);

// A JSON list of strings without escapes, as SageMaker's SM_HOSTS: ["algo-1","algo-2"].
Result<std::vector<std::string>> ParseHostList(const std::string& json);

}  // namespace bertie::comm
