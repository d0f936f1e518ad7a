// How a rank finds the others of its run.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace bertie::comm {

struct JoinOptions {
  int rank = 0;
  int size = 1;
  // Rank 0 listens there and the others connect to it: on host's address alone where that is
  // "localhost" or a numeric loopback one, else on all of the machine's addresses.
  std::string host = "127.0.0.1";
  uint16_t port = 29500;
  // A secret that all ranks share: a peer without it is refused. Not sent over the network.
  std::string token;
  // Listen beyond this machine though there is no token.
  bool allow_no_token = false;
  // A name of the run; ranks of another are refused. May be empty.
  std::string job;
  // All ranks must have come by then.
  std::chrono::milliseconds join_timeout = std::chrono::minutes(10);
  // A rank from which nothing comes for so long is lost. Each one sends a sign of life each second,
  // also while it computes.
  std::chrono::milliseconds silence_timeout = std::chrono::seconds(30);
  // Rank 0: a socket that listens already, instead of host and port; owned from Join on.
  int listen_fd = -1;
  // Hears what a person who waits would like to know. Called from any thread.
  std::function<void(const std::string&)> log;
};

}  // namespace bertie::comm
