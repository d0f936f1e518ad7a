// Event files, which TensorBoard shows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace bertie::train {

// A number at a step, under a name such as "train/loss". TensorBoard groups by what stands before
// the slash.
struct Scalar {
  std::string tag;
  double value = 0;  // stored as a float
};

// An open event file: TFRecords of Event messages (tensorflow/core/util/event.proto, of which the
// few fields that are needed here are encoded by hand). One thread at a time. What was added can be
// read at once, and survives the end of the process; it is not synced to the disk.
class EventFile {
 public:
  // Makes the folder and, in it, "events.out.tfevents.SECONDS.HOST.PID.0", the name by which
  // TensorBoard knows such files. Errors name the path and the system's reason.
  static Result<EventFile> Create(const std::filesystem::path& dir);
  EventFile(EventFile&& other) noexcept;
  EventFile& operator=(EventFile&& other) noexcept;
  ~EventFile();

  const std::filesystem::path& path() const { return path_; }

  // All in one event, with the time of the call. After an error the file may end in half a record,
  // which readers leave out; nothing more should be added.
  Status AddScalars(int64_t step, std::span<const Scalar> scalars);

  // Markdown, for TensorBoard's page of texts.
  Status AddText(const std::string& tag, std::string_view markdown);

 private:
  EventFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status Write(std::string_view event);

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace bertie::train
