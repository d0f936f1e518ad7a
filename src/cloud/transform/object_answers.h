// The answers to an input object's requests, as the object that they become.
#pragma once

#include <string>

#include "cloud/failure.h"
#include "cloud/s3/object_files.h"
#include "cloud/transform/object_requests.h"
#include "cloud/transform/transform_request.h"

namespace bertie::cloud {

// One thread at a time. Nothing is seen of it before Finish, and then all.
class ObjectAnswers {
 public:
  // job must outlive it.
  ObjectAnswers(ObjectStore& store, const TransformRequest& job) : writer_(store), job_(job) {}

  // In the order of the requests. ClientError for an answer that cannot be joined.
  Done Add(const ObjectRequest& request, const std::string& answer,
           const std::string& content_type);
  // ObjectWriter's failures.
  Done Finish(const S3Uri& target, const ObjectStore::AlsoChange& also);

 private:
  Done Join(const ObjectRequest& request, const std::string& answer);

  ObjectWriter writer_;
  const TransformRequest& job_;
  std::string content_type_;
};

}  // namespace bertie::cloud
