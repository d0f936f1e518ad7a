// gloo's connections between all ranks. Private to comm/; only mesh.cc sees gloo.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::comm {

// One message to or from each other rank. Spans that are empty take no part.
struct MeshRound {
  std::vector<std::span<const std::byte>> send;  // by rank
  std::vector<std::span<std::byte>> receive;     // by rank
};

struct MeshError {
  int rank = -1;  // the connection that broke; -1 when Abort ended the round
  std::string reason;
};

// One thread at a time, but for Abort.
class Mesh {
 public:
  // Opens this rank's ends on the local address, or on the interface's where one is named.
  static Result<std::unique_ptr<Mesh>> Create(int rank, int size, const std::string& address,
                                              const std::string& interface);
  ~Mesh();

  // Where rank r finds this one.
  std::string AddressFor(int rank) const;
  // Connects with every rank; addresses[r] is what rank r's AddressFor(this rank) said.
  Result<void> Connect(const std::vector<std::string>& addresses);

  // Sends and receives all of the round's messages. Returns the first thing that went wrong.
  std::unique_ptr<MeshError> Exchange(const MeshRound& round);

  // Ends the current Exchange or Connect and all later ones. Any thread.
  void Abort();

 private:
  struct Impl;
  explicit Mesh(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::comm
