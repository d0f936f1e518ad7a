#include "cloud/transform/object_requests.h"

#include <utility>

namespace bertie::cloud {
namespace {

constexpr size_t kObjectPiece = 256 * 1024;
// Of a request, where the job has no limit.
constexpr uint64_t kAnyPayload = uint64_t{1} << 30;
// Packed together where the job has no limit.
constexpr uint64_t kPacked = uint64_t{6} << 20;

std::string_view WithoutLineEnd(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

Outcome<ObjectRequests> ObjectRequests::Open(const ObjectStore& store, const ObjectFile& object,
                                             const TransformRequest& job,
                                             const std::filesystem::path& scratch) {
  auto reader = ObjectReader::Open(store, object, job.gzip, scratch);
  if (!reader.ok()) return reader.error();
  return ObjectRequests(*std::move(reader), job);
}

uint64_t ObjectRequests::limit() const {
  return job_->max_payload == 0 ? kAnyPayload : job_->max_payload;
}

// False at the object's end.
Result<bool> ObjectRequests::Fill() {
  if (ended_) return false;
  buffer_.erase(0, std::exchange(at_, 0));
  const size_t size = buffer_.size();
  buffer_.resize(size + kObjectPiece);
  auto got = reader_.Read(std::span(buffer_).subspan(size));
  buffer_.resize(size + (got.ok() ? *got : 0));
  if (!got.ok()) return got.error();
  ended_ = *got == 0;
  return !ended_;
}

// A line with its end; false when there is none more.
Outcome<bool> ObjectRequests::NextLine(std::string& line) {
  if (!held_.empty()) {
    line = std::exchange(held_, "");
    return true;
  }
  size_t looked = at_;
  size_t end = buffer_.npos;
  while ((end = buffer_.find('\n', looked)) == buffer_.npos) {
    const size_t open = buffer_.size() - at_;  // of the line, so far
    if (open > limit()) return TooLong();
    auto more = Fill();
    if (!more.ok()) return Failure("ClientError", more.error().message);
    if (!*more) break;
    looked = open;
  }
  line = buffer_.substr(at_, end == buffer_.npos ? end : end + 1 - at_);
  at_ += line.size();
  if (line.size() > limit()) return TooLong();
  return !line.empty();
}

Failure ObjectRequests::TooLong() const {
  return {"ClientError", "record " + std::to_string(record_) + " has more than the " +
                             std::to_string(limit()) + " bytes of MaxPayloadInMB"};
}

Outcome<std::optional<ObjectRequest>> ObjectRequests::Whole() {
  if (record_ > 1) return std::optional<ObjectRequest>();
  ++record_;
  while (true) {
    auto more = Fill();
    if (!more.ok()) return Failure("ClientError", more.error().message);
    if (buffer_.size() > limit()) {
      return Failure("ClientError", "it has more than the " + std::to_string(limit()) +
                                        " bytes of MaxPayloadInMB, and SplitType is None");
    }
    if (!*more) return std::optional(ObjectRequest{.body = std::move(buffer_), .records = {}});
  }
}

Outcome<std::optional<ObjectRequest>> ObjectRequests::Next() {
  const RecordForm form = job_->form();
  if (form == RecordForm::kAsIs && !job_->by_line) return Whole();
  ObjectRequest request{.body = {}, .records = {}, .first_record = record_};
  const uint64_t packed = job_->max_payload == 0 ? kPacked : job_->max_payload;
  const bool one = form != RecordForm::kAsIs || job_->single_record;
  std::string line;
  while (true) {
    auto there = NextLine(line);
    if (!there.ok()) return there.error();
    if (!*there) break;
    if (!request.records.empty() && request.records.size() + line.size() > packed) {
      held_ = std::move(line);
      break;
    }
    request.records += line;
    ++record_;
    if (one) break;
  }
  if (request.records.empty()) return std::optional<ObjectRequest>();
  const std::string line_text(form == RecordForm::kAsIs ? "" : WithoutLineEnd(request.records));
  request.body = form == RecordForm::kAsIs   ? request.records
                 : form == RecordForm::kJson ? line_text
                                             : formats::DumpJson(line_text);
  if (!job_->join) request.records.clear();
  return std::optional(std::move(request));
}

}  // namespace bertie::cloud
