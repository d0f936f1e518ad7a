#include "train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/directory.h"
#include "base/file.h"
#include "formats/tfrecord.h"

namespace bertie::train {
namespace {

// Protocol buffers' wire format: each field is a key (number and type) and a value.
enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

class Message {
 public:
  Message& Varint(uint64_t field, uint64_t value) {
    Key(field, kVarint);
    Number(value);
    return *this;
  }
  Message& Double(uint64_t field, double value) {
    return Fixed(field, kFixed64, std::bit_cast<uint64_t>(value), 8);
  }
  Message& Float(uint64_t field, float value) {
    return Fixed(field, kFixed32, std::bit_cast<uint32_t>(value), 4);
  }
  // A string, or a message inside this one.
  Message& Bytes(uint64_t field, std::string_view bytes) {
    Key(field, kBytes);
    Number(bytes.size());
    bytes_ += bytes;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Key(uint64_t field, WireType type) { Number((field << 3) | type); }
  void Number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  Message& Fixed(uint64_t field, WireType type, uint64_t bits, int count) {
    Key(field, type);
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>((bits >> (8 * i)) & 0xff);
    return *this;
  }

  std::string bytes_;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
Message Event(int64_t step) {
  Message event;
  event.Double(1, Now());
  if (step != 0) event.Varint(2, static_cast<uint64_t>(step));
  return event;
}

// Summary: value = 1. Summary.Value: tag = 1, simple_value = 2, tensor = 8, metadata = 9.
std::string TextSummary(const std::string& tag, std::string_view markdown) {
  // SummaryMetadata: plugin_data = 1, and in it plugin_name = 1.
  const Message metadata = Message().Bytes(1, Message().Bytes(1, "text").bytes());
  // TensorProto: dtype = 1 (7 is DT_STRING), tensor_shape = 2 (dim = 2, size = 1), string_val = 8.
  const Message shape = Message().Bytes(2, Message().Varint(1, 1).bytes());
  const Message tensor = Message().Varint(1, 7).Bytes(2, shape.bytes()).Bytes(8, markdown);
  const Message value = Message().Bytes(1, tag).Bytes(8, tensor.bytes()).Bytes(9, metadata.bytes());
  return Message().Bytes(1, value.bytes()).bytes();
}

std::string FileName() {
  char host[256] = "localhost";
  if (gethostname(host, sizeof(host) - 1) != 0) std::strcpy(host, "localhost");
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%010lld", static_cast<long long>(Now()));
  return std::string("events.out.tfevents.") + seconds + "." + host + "." +
         std::to_string(getpid()) + ".0";
}

}  // namespace

Result<EventFile> EventFile::Create(const std::filesystem::path& dir) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(dir));
  const std::filesystem::path path = dir / FileName();
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(errno, path, "open");
  EventFile file(path, fd);
  BERTIE_RETURN_IF_ERROR(file.Write(Event(0).Bytes(3, "brain.Event:2").bytes()));
  return file;
}

EventFile::EventFile(EventFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

EventFile& EventFile::operator=(EventFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

EventFile::~EventFile() {
  if (fd_ >= 0) close(fd_);
}

Status EventFile::AddScalars(int64_t step, std::span<const Scalar> scalars) {
  Message summary;
  for (const Scalar& scalar : scalars) {
    summary.Bytes(
        1, Message().Bytes(1, scalar.tag).Float(2, static_cast<float>(scalar.value)).bytes());
  }
  return Write(Event(step).Bytes(5, summary.bytes()).bytes());
}

Status EventFile::AddText(const std::string& tag, std::string_view markdown) {
  return Write(Event(0).Bytes(5, TextSummary(tag, markdown)).bytes());
}

Status EventFile::Write(std::string_view event) {
  return WriteAll(fd_, formats::FrameTfRecord(event), path_);
}

}  // namespace bertie::train
