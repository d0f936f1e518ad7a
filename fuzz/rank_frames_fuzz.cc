// What a rank of a training run reads from the network before and after it knows its peer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "comm/frames.h"

namespace {

namespace comm = bertie::comm;

void Check(bool holds) {
  if (!holds) std::abort();
}

// Frames of the stream when it comes in pieces of `piece` bytes.
size_t Read(std::string_view bytes, size_t piece) {
  comm::FrameReader reader;
  size_t frames = 0;
  for (size_t from = 0; from < bytes.size(); from += piece) {
    reader.Feed(bytes.substr(from, piece));
    for (;;) {
      auto frame = reader.Next();
      if (!frame.ok()) return frames;
      if (!*frame) break;
      Check((*frame)->body.size() < comm::kMaxStrangerFrame);
      ++frames;
    }
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t frames = Read(bytes, std::max<size_t>(1, size));
  Check(Read(bytes, 1) == frames);
  Check(Read(bytes, 7) == frames);
  if (auto hello = comm::ParseHello(bytes);
      hello.ok() && hello->version == comm::kProtocolVersion) {
    Check(comm::EncodeHello(*hello) == bytes);
    Check(hello->rank < hello->size);
  }
  if (auto offers = comm::ParseOffers(bytes, 3); offers.ok()) {
    Check(comm::EncodeOffers(*offers) == bytes);
  }
  if (auto loss = comm::ParseLoss(bytes, 4); loss.ok()) Check(loss->rank >= -1 && loss->rank < 4);
  (void)comm::ParseDigest(bytes);
  return 0;
}
