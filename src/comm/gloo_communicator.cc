#include "comm/gloo_communicator.h"

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/hmac.h"
#include "comm/member.h"
#include "comm/mesh.h"
#include "comm/rank_server.h"

namespace bertie::comm {
namespace {

using std::chrono::milliseconds;

// Larger values go in parts, which bounds the memory for the others' contributions.
constexpr int64_t kPartBytes = int64_t{16} << 20;
// Smaller ones go to everybody as a whole: one message's latency instead of two.
constexpr int64_t kWholeBytes = 512;

struct Range {
  int64_t begin = 0;
  int64_t count = 0;
};

// The part of [0, count) that rank r adds up.
Range SliceOf(int64_t count, int r, int size) {
  const int64_t begin = count * r / size;
  return {begin, count * (r + 1) / size - begin};
}

float FromBfloat16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

// Nearest, ties to even; NaN stays NaN.
uint16_t ToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return static_cast<uint16_t>((is_nan ? bits | 0x400000 : rounded) >> 16);
}

// out[i] = parts[0][i] + parts[1][i] + ...; out may be any of the parts.
template <class T>
void AddUp(const std::vector<const T*>& parts, int64_t count, T* out) {
  constexpr int64_t kBlock = 1024;
  T sum[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t n = std::min(kBlock, count - first);
    std::copy_n(parts[0] + first, n, sum);
    for (size_t p = 1; p < parts.size(); ++p) {
      const T* part = parts[p] + first;
      for (int64_t i = 0; i < n; ++i) sum[i] += part[i];
    }
    std::copy_n(sum, n, out + first);
  }
}

// The same with bfloat16 values and an fp32 sum.
template <>
void AddUp(const std::vector<const uint16_t*>& parts, int64_t count, uint16_t* out) {
  constexpr int64_t kBlock = 1024;
  float sum[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t n = std::min(kBlock, count - first);
    for (int64_t i = 0; i < n; ++i) sum[i] = FromBfloat16(parts[0][first + i]);
    for (size_t p = 1; p < parts.size(); ++p) {
      const uint16_t* part = parts[p] + first;
      for (int64_t i = 0; i < n; ++i) sum[i] += FromBfloat16(part[i]);
    }
    for (int64_t i = 0; i < n; ++i) out[first + i] = ToBfloat16(sum[i]);
  }
}

class GlooCommunicator final : public Communicator {
 public:
  explicit GlooCommunicator(const JoinOptions& options) : options_(options) {}
  ~GlooCommunicator() override {
    // Its thread may be about to abort the mesh.
    member_.reset();
  }

  Status Join();

  int rank() const override { return options_.rank; }
  int size() const override { return options_.size; }
  Status AllReduce(std::span<float> values, Wire wire) override;
  Status AllReduce(std::span<double> values) override { return Sum(values); }
  Status Broadcast(std::span<std::byte> bytes, int root) override;
  Status Barrier() override {
    double nothing = 0;
    return Sum(std::span(&nothing, 1));
  }
  void Leave(const Status& status) override {
    if (member_) member_->Leave(status);
  }

 private:
  Result<std::string> Address();
  Status ProvePairs(const std::vector<std::string>& mine, const std::vector<std::string>& theirs);
  MeshRound Round() const {
    return {std::vector<std::span<const std::byte>>(static_cast<size_t>(size())),
            std::vector<std::span<std::byte>>(static_cast<size_t>(size()))};
  }
  Status Exchange(const MeshRound& round);
  template <class T>
  Status Sum(std::span<T> values);
  template <class T>
  Status SumWhole(std::span<T> values);
  template <class T>
  Status SumSlices(std::span<T> values);
  template <class T>
  Status GatherSlices(std::span<T> values);
  // Room for n values that lasts until the next call.
  template <class T>
  T* Scratch(int64_t n) {
    scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(n) * sizeof(T)));
    return reinterpret_cast<T*>(scratch_.data());
  }

  JoinOptions options_;
  std::unique_ptr<RankServer> server_;  // rank 0's; ends after member_
  std::unique_ptr<Member> member_;
  std::unique_ptr<Mesh> mesh_;
  std::vector<std::byte> scratch_;
  std::vector<uint16_t> narrow_;
};

template <class T>
std::span<const std::byte> Bytes(const T* values, int64_t count) {
  return std::as_bytes(std::span(values, static_cast<size_t>(count)));
}
template <class T>
std::span<std::byte> WritableBytes(T* values, int64_t count) {
  return std::as_writable_bytes(std::span(values, static_cast<size_t>(count)));
}

Status GlooCommunicator::Join() {
  // gloo writes to sockets whose other end may be gone.
  std::signal(SIGPIPE, SIG_IGN);
  Socket local;
  if (rank() == 0) {
    BERTIE_ASSIGN_OR_RETURN(server_, RankServer::Start(options_));
    BERTIE_ASSIGN_OR_RETURN(local, server_->ConnectLocally());
  }
  BERTIE_ASSIGN_OR_RETURN(member_, Member::Join(options_, std::move(local)));
  BERTIE_ASSIGN_OR_RETURN(const std::string address, Address());
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  BERTIE_ASSIGN_OR_RETURN(mesh_, Mesh::Create(rank(), size(), address, interface ? interface : ""));
  member_->OnLoss([mesh = mesh_.get()] { mesh->Abort(); });
  // To each rank a nonce for its proof, and where this one is reached.
  std::vector<std::string> offers(static_cast<size_t>(size()), "-");
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    const Digest256 nonce = RandomBytes32();
    offers[static_cast<size_t>(r)].assign(reinterpret_cast<const char*>(nonce.data()),
                                          nonce.size());
    offers[static_cast<size_t>(r)] += mesh_->AddressFor(r);
  }
  BERTIE_ASSIGN_OR_RETURN(std::vector<std::string> theirs, member_->Exchange(offers));
  std::vector<std::string> addresses(theirs.size());
  for (size_t r = 0; r < theirs.size(); ++r) {
    if (theirs[r].size() > 32) addresses[r] = theirs[r].substr(32);
  }
  if (Status connected = mesh_->Connect(addresses); !connected.ok()) {
    if (auto loss = member_->WaitForLoss(std::chrono::seconds(1))) return *loss;
    return connected;
  }
  return ProvePairs(offers, theirs);
}

// Where gloo listens: the address by which this machine and the others reach each other.
Result<std::string> GlooCommunicator::Address() {
  if (rank() != 0) return member_->local_address();
  while (!server_->complete()) {
    if (auto loss = member_->WaitForLoss(milliseconds(10))) return *loss;
  }
  return server_->reached_at();
}

// What is at the other end of each connection knows the token and is the rank it should be.
Status GlooCommunicator::ProvePairs(const std::vector<std::string>& mine,
                                    const std::vector<std::string>& theirs) {
  auto proof = [&](const std::string& offer, int from, int to) {
    return HmacSha256(options_.token, offer.substr(0, 32) + "pair " + std::to_string(from) + " " +
                                          std::to_string(to));
  };
  MeshRound round = Round();
  std::vector<Digest256> sent(mine.size());
  std::vector<Digest256> got(mine.size());
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    const auto i = static_cast<size_t>(r);
    sent[i] = proof(theirs[i], rank(), r);
    round.send[i] = sent[i];
    round.receive[i] = got[i];
  }
  BERTIE_RETURN_IF_ERROR(Exchange(round));
  for (int r = 0; r < size(); ++r) {
    const auto i = static_cast<size_t>(r);
    if (r != rank() && !ConstantTimeEqual(got[i], proof(mine[i], r, rank()))) {
      return Error{ErrorCode::kInvalidData, "what is connected in the place of rank " +
                                                std::to_string(r) +
                                                " does not know this run's token"};
    }
  }
  return {};
}

Status GlooCommunicator::Exchange(const MeshRound& round) {
  const auto failed = mesh_->Exchange(round);
  if (!failed) return {};
  // A rank that was killed breaks many connections; rank 0 knows which one was the first.
  if (auto loss = member_->WaitForLoss(std::chrono::seconds(3))) return *loss;
  return Error{ErrorCode::kUnavailable, "rank " + std::to_string(failed->rank) +
                                            " was lost: the connection with it broke (" +
                                            failed->reason + ")"};
}

Status GlooCommunicator::AllReduce(std::span<float> values, Wire wire) {
  if (wire == Wire::kFloat32) return Sum(values);
  narrow_.resize(values.size());
  std::transform(values.begin(), values.end(), narrow_.begin(), ToBfloat16);
  BERTIE_RETURN_IF_ERROR(Sum(std::span(narrow_)));
  std::transform(narrow_.begin(), narrow_.end(), values.begin(), FromBfloat16);
  return {};
}

template <class T>
Status GlooCommunicator::Sum(std::span<T> values) {
  constexpr size_t kPart = kPartBytes / sizeof(T);
  if (values.size_bytes() <= kWholeBytes) return SumWhole(values);
  for (size_t first = 0; first < values.size(); first += kPart) {
    const auto part = values.subspan(first, std::min(kPart, values.size() - first));
    BERTIE_RETURN_IF_ERROR(SumSlices(part));
    BERTIE_RETURN_IF_ERROR(GatherSlices(part));
  }
  return {};
}

// All contributions come here, and every rank adds them up.
template <class T>
Status GlooCommunicator::SumWhole(std::span<T> values) {
  const auto count = static_cast<int64_t>(values.size());
  T* scratch = Scratch<T>(count * size());
  MeshRound round = Round();
  std::vector<const T*> parts(static_cast<size_t>(size()), values.data());
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    const auto i = static_cast<size_t>(r);
    round.send[i] = Bytes(values.data(), count);
    round.receive[i] = WritableBytes(scratch + r * count, count);
    parts[i] = scratch + r * count;
  }
  BERTIE_RETURN_IF_ERROR(Exchange(round));
  AddUp(parts, count, values.data());
  return {};
}

// This rank's slice becomes the sum of all ranks' values there.
template <class T>
Status GlooCommunicator::SumSlices(std::span<T> values) {
  const auto count = static_cast<int64_t>(values.size());
  const Range own = SliceOf(count, rank(), size());
  T* scratch = Scratch<T>(own.count * size());
  MeshRound round = Round();
  std::vector<const T*> parts(static_cast<size_t>(size()), values.data() + own.begin);
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    const auto i = static_cast<size_t>(r);
    const Range theirs = SliceOf(count, r, size());
    round.send[i] = Bytes(values.data() + theirs.begin, theirs.count);
    round.receive[i] = WritableBytes(scratch + r * own.count, own.count);
    parts[i] = scratch + r * own.count;
  }
  BERTIE_RETURN_IF_ERROR(Exchange(round));
  AddUp(parts, own.count, values.data() + own.begin);
  return {};
}

// Each rank's slice of values goes to all.
template <class T>
Status GlooCommunicator::GatherSlices(std::span<T> values) {
  const auto count = static_cast<int64_t>(values.size());
  const Range own = SliceOf(count, rank(), size());
  MeshRound round = Round();
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    const auto i = static_cast<size_t>(r);
    const Range theirs = SliceOf(count, r, size());
    round.send[i] = Bytes(values.data() + own.begin, own.count);
    round.receive[i] = WritableBytes(values.data() + theirs.begin, theirs.count);
  }
  return Exchange(round);
}

// The root gives each rank a slice, and the ranks give the slices to each other: no rank sends or
// gets more than twice the bytes.
Status GlooCommunicator::Broadcast(std::span<std::byte> bytes, int root) {
  const auto count = static_cast<int64_t>(bytes.size());
  MeshRound round = Round();
  if (rank() == root) {
    for (int r = 0; r < size(); ++r) {
      const Range theirs = SliceOf(count, r, size());
      if (r == root) continue;
      round.send[static_cast<size_t>(r)] = Bytes(bytes.data() + theirs.begin, theirs.count);
    }
  } else {
    const Range own = SliceOf(count, rank(), size());
    round.receive[static_cast<size_t>(root)] = WritableBytes(bytes.data() + own.begin, own.count);
  }
  BERTIE_RETURN_IF_ERROR(Exchange(round));
  return GatherSlices(bytes);
}

}  // namespace

Result<std::unique_ptr<Communicator>> JoinRanks(const JoinOptions& options) {
  if (options.size < 1 || options.size > kMaxRanks || options.rank < 0 ||
      options.rank >= options.size) {
    return Error{ErrorCode::kInvalidArgument, "rank " + std::to_string(options.rank) + " of " +
                                                  std::to_string(options.size) +
                                                  ": expected a rank from 0 and at most " +
                                                  std::to_string(kMaxRanks) + " of them"};
  }
  if (options.size == 1) return std::unique_ptr<Communicator>(new SingleCommunicator());
  auto communicator = std::make_unique<GlooCommunicator>(options);
  if (Status joined = communicator->Join(); !joined.ok()) {
    communicator->Leave(joined);
    return joined.error();
  }
  return std::unique_ptr<Communicator>(std::move(communicator));
}

}  // namespace bertie::comm
