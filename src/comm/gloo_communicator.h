// A Communicator over TCP, by gloo.
#pragma once

#include <memory>

#include "base/status.h"
#include "comm/communicator.h"
#include "comm/join_options.h"

namespace bertie::comm {

// Connects all ranks of a run with each other. Returns when all are connected.
//
// What gloo carries is neither secret nor protected against change: Debian's gloo has no TLS. With
// a token each connection begins with a proof of it, so that no stranger takes a rank's place. Use
// a network of your own.
//
// size 1 gives a SingleCommunicator. Errors: kInvalidArgument when rank 0 refused this rank or
// would listen beyond this machine without a token; kDeadlineExceeded when a rank did not come in
// time.
Result<std::unique_ptr<Communicator>> JoinRanks(const JoinOptions& options);

}  // namespace bertie::comm
