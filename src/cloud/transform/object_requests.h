// An input object as the requests that are made of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cloud/failure.h"
#include "cloud/s3/object_files.h"
#include "cloud/s3/object_store.h"
#include "cloud/transform/object_reader.h"
#include "cloud/transform/transform_request.h"

namespace bertie::cloud {

struct ObjectRequest {
  std::string body;
  std::string records;       // where answers are joined: the lines that it is about
  int64_t first_record = 1;  // counted from 1
};

// One thread at a time. Holds a request's bytes, and no more of the object than a piece.
class ObjectRequests {
 public:
  // job must outlive it. scratch: see ObjectReader.
  static Outcome<ObjectRequests> Open(const ObjectStore& store, const ObjectFile& object,
                                      const TransformRequest& job,
                                      const std::filesystem::path& scratch);

  // The next; nullopt at the end. ClientError for a record, or an object that is not split, of more
  // than the payload's limit, and for damaged gzip.
  Outcome<std::optional<ObjectRequest>> Next();

 private:
  ObjectRequests(ObjectReader reader, const TransformRequest& job)
      : reader_(std::move(reader)), job_(&job) {}
  Outcome<std::optional<ObjectRequest>> Whole();
  Outcome<bool> NextLine(std::string& line);
  Failure TooLong() const;
  Result<bool> Fill();
  uint64_t limit() const;

  ObjectReader reader_;
  const TransformRequest* job_;
  std::string buffer_;  // read, and not given yet from at_ on
  size_t at_ = 0;
  bool ended_ = false;
  std::string held_;  // a line that did not fit the request before
  int64_t record_ = 1;
};

}  // namespace bertie::cloud
