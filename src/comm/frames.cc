#include "comm/frames.h"

#include <algorithm>
#include <cstring>

namespace bertie::comm {
namespace {

constexpr std::string_view kMagic = "bertie ranks";

void PutNumber(uint32_t value, std::string& to) {
  for (int shift = 0; shift < 32; shift += 8) to += static_cast<char>((value >> shift) & 255);
}

uint32_t GetNumber(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Takes fields off the front of a body; ok() turns false where it is too short.
class BodyReader {
 public:
  explicit BodyReader(std::string_view body) : rest_(body) {}

  std::string_view Take(size_t bytes) {
    if (bytes > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  uint32_t Number() {
    std::string_view bytes = Take(4);
    return ok_ ? GetNumber(bytes) : 0;
  }
  // A number and as many bytes.
  std::string_view Text(size_t most) {
    const uint32_t bytes = Number();
    if (bytes > most) ok_ = false;
    return ok_ ? Take(bytes) : std::string_view();
  }
  Digest256 Digest() {
    Digest256 digest{};
    std::string_view bytes = Take(digest.size());
    if (ok_) std::memcpy(digest.data(), bytes.data(), digest.size());
    return digest;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void PutText(std::string_view text, std::string& to) {
  PutNumber(static_cast<uint32_t>(text.size()), to);
  to += text;
}

Error Malformed(const char* what) {
  return {ErrorCode::kInvalidData, std::string("the bytes received are no ") + what};
}

}  // namespace

std::string EncodeFrame(FrameType type, std::string_view body) {
  std::string bytes;
  PutNumber(static_cast<uint32_t>(body.size() + 1), bytes);
  bytes += static_cast<char>(type);
  bytes += body;
  return bytes;
}

Result<std::optional<Frame>> FrameReader::Next() {
  if (buffer_.size() < 4) return std::optional<Frame>();
  const uint32_t bytes = GetNumber(buffer_);
  if (bytes == 0 || bytes > limit_) return Malformed("frame of a bertie rank");
  if (buffer_.size() < 5) return std::optional<Frame>();
  const auto type = static_cast<uint8_t>(buffer_[4]);
  if (type < static_cast<uint8_t>(FrameType::kHello) ||
      type > static_cast<uint8_t>(FrameType::kGoodbye)) {
    return Malformed("frame of a bertie rank");
  }
  if (buffer_.size() < size_t{4} + bytes) return std::optional<Frame>();
  Frame frame{static_cast<FrameType>(type), buffer_.substr(5, bytes - 1)};
  buffer_.erase(0, size_t{4} + bytes);
  return std::optional<Frame>(std::move(frame));
}

std::string EncodeHello(const Hello& hello) {
  std::string body(kMagic);
  PutNumber(hello.version, body);
  PutNumber(hello.size, body);
  PutNumber(hello.rank, body);
  PutText(std::string_view(hello.job).substr(0, kMaxText), body);
  body += EncodeDigest(hello.nonce);
  return body;
}

Result<Hello> ParseHello(std::string_view body) {
  BodyReader reader(body);
  Hello hello;
  if (reader.Take(kMagic.size()) != kMagic) return Malformed("greeting of a bertie rank");
  const uint32_t version = reader.Number();
  if (!reader.ok() || version > 0xffff) return Malformed("greeting of a bertie rank");
  hello.version = static_cast<uint16_t>(version);
  if (version != kProtocolVersion) return hello;
  hello.size = reader.Number();
  hello.rank = reader.Number();
  hello.job = reader.Text(kMaxText);
  hello.nonce = reader.Digest();
  if (!reader.done()) return Malformed("greeting of a bertie rank");
  if (hello.size < 2 || hello.size > kMaxRanks || hello.rank >= hello.size) {
    return Error{ErrorCode::kInvalidData, "rank " + std::to_string(hello.rank) + " of " +
                                              std::to_string(hello.size) + ": expected 2 to " +
                                              std::to_string(kMaxRanks) + " ranks"};
  }
  return hello;
}

std::string EncodeDigest(const Digest256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Result<Digest256> ParseDigest(std::string_view body) {
  BodyReader reader(body);
  const Digest256 digest = reader.Digest();
  if (!reader.done()) return Malformed("digest");
  return digest;
}

std::string EncodeOffers(std::span<const std::string> blobs) {
  std::string body;
  for (const auto& blob : blobs) PutText(std::string_view(blob).substr(0, kMaxOffer), body);
  return body;
}

Result<std::vector<std::string>> ParseOffers(std::string_view body, size_t ranks) {
  BodyReader reader(body);
  std::vector<std::string> blobs;
  for (size_t i = 0; i < ranks && reader.ok(); ++i) blobs.emplace_back(reader.Text(kMaxOffer));
  if (!reader.done()) return Malformed("list of addresses");
  return blobs;
}

std::string EncodeLoss(const Loss& loss) {
  std::string body;
  PutNumber(static_cast<uint32_t>(loss.rank + 1), body);
  PutText(SafeText(loss.reason), body);
  return body;
}

Result<Loss> ParseLoss(std::string_view body, int ranks) {
  BodyReader reader(body);
  const uint32_t rank = reader.Number();
  const std::string reason = SafeText(reader.Text(kMaxText));
  if (!reader.done() || rank > static_cast<uint32_t>(ranks)) return Malformed("report of a loss");
  return Loss{static_cast<int>(rank) - 1, reason};
}

std::string SafeText(std::string_view text) {
  std::string safe(text.substr(0, kMaxText));
  std::replace_if(
      safe.begin(), safe.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return safe;
}

std::string Seconds(std::chrono::milliseconds time) {
  std::string text = std::to_string(static_cast<double>(time.count()) / 1000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + " s";
}

Digest256 Proof(std::string_view token, std::string_view side, const Hello& hello,
                const Digest256& challenge) {
  std::string message;
  PutText(side, message);
  PutText(EncodeHello(hello), message);
  message += EncodeDigest(challenge);
  return HmacSha256(token, message);
}

}  // namespace bertie::comm
