// `bertie train --nproc N`: the ranks of a run as processes of this machine.
#pragma once

#include "base/status.h"

namespace bertie::cli {

// Whether this process is one of those that RunProcesses started.
bool IsStartedRank();

// Starts this program's own command `count` times, as ranks of one run that meet on a loopback
// port under a token of their own, and waits for all. Rank 0 has this process's streams; of the
// others only stderr is shown, each line behind "[rank N] ". SIGINT and SIGTERM go on to all. When
// one fails the others get ten seconds to end by themselves before they are killed.
//
// Returns the exit code: 0 when all ranks end well, else that of the rank that failed first.
Result<int> RunProcesses(int count);

}  // namespace bertie::cli
