// The bytes that the ranks of a run send each other to find together and to notice an end: frames
// on a TCP connection between each rank and rank 0. The tensors take other ways (gloo).
//
// A frame is a little-endian u32 (bytes that follow), a byte that says its type, and a body. A
// conversation:
//
//   rank r -> rank 0   kHello      who I am, a nonce
//   rank 0 -> rank r   kChallenge  a nonce
//   rank r -> rank 0   kProof      HMAC of all of the above under the token
//   rank 0 -> rank r   kWelcome    another HMAC of it, so that r knows rank 0 too
//   rank r -> rank 0   kOffers     one blob for each rank
//   rank 0 -> rank r   kOffers     from each rank, the blob for r: once all are in
//   both ways          kPing       each second
//   rank r -> rank 0   kFailed and why, or kGoodbye
//   rank 0 -> rank r   kGoodbye: all ranks have said it
//   rank 0 -> rank r   kLost       a rank that is gone, and why
//
// Instead of any answer rank 0 may send kRefused and close.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hmac.h"
#include "base/status.h"

namespace bertie::comm {

constexpr uint16_t kProtocolVersion = 1;
constexpr int kMaxRanks = 1024;
constexpr size_t kMaxText = 400;           // bytes of a reason, of a job's name
constexpr size_t kMaxOffer = 4096;         // bytes of a blob
constexpr size_t kMaxStrangerFrame = 600;  // bytes of a frame before the peer is known

enum class FrameType : uint8_t {
  kHello = 1,
  kChallenge,
  kProof,
  kWelcome,
  kRefused,
  kOffers,
  kPing,
  kLost,
  kFailed,
  kGoodbye,
};

struct Frame {
  FrameType type = FrameType::kPing;
  std::string body;
};

// The frame's bytes on the wire.
std::string EncodeFrame(FrameType type, std::string_view body = {});

// Cuts a stream of bytes into frames. Not thread-safe.
class FrameReader {
 public:
  // Frames of more bytes (type and body) are refused before memory is taken for them.
  void set_limit(size_t bytes) { limit_ = bytes; }

  void Feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame; nothing while bytes are missing. kInvalidData when the bytes are no
  // frame: the stream is then of no more use.
  Result<std::optional<Frame>> Next();

 private:
  size_t limit_ = kMaxStrangerFrame;
  std::string buffer_;
};

struct Hello {
  uint16_t version = kProtocolVersion;
  uint32_t size = 0;
  uint32_t rank = 0;
  std::string job;  // at most kMaxText bytes
  Digest256 nonce{};
};

std::string EncodeHello(const Hello& hello);
// kInvalidData when it is none, or its rank or size is out of range. A Hello of another version is
// read as far as the version, which every version has in the same place.
Result<Hello> ParseHello(std::string_view body);

std::string EncodeDigest(const Digest256& digest);
Result<Digest256> ParseDigest(std::string_view body);

// blobs of at most kMaxOffer bytes.
std::string EncodeOffers(std::span<const std::string> blobs);
Result<std::vector<std::string>> ParseOffers(std::string_view body, size_t ranks);

struct Loss {
  int rank = -1;  // -1: the run as a whole could not go on
  std::string reason;
};

std::string EncodeLoss(const Loss& loss);
Result<Loss> ParseLoss(std::string_view body, int ranks);

// Text from a peer, fit for one line of a terminal: control characters become '?', the end is cut
// at kMaxText.
std::string SafeText(std::string_view text);

// "1.5 s"
std::string Seconds(std::chrono::milliseconds time);

// What both sides prove to know the token with. `side` is "rank" or "rank 0".
Digest256 Proof(std::string_view token, std::string_view side, const Hello& hello,
                const Digest256& challenge);

}  // namespace bertie::comm
