// The S3 subset: buckets, objects, listings, uploads in parts.
// Source: Amazon S3's API reference, 2006-03-01.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_body.h"
#include "cloud/s3/s3_request.h"
#include "cloud/service.h"
#include "cloud/settings.h"

namespace bertie::cloud {

class S3Service : public Service {
 public:
  // Both must outlive the service. log: one line for each answer of 500.
  S3Service(const Settings& settings, ObjectStore& store,
            std::function<void(std::string_view)> log);

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  http::Response Reject(const http::Refusal& refusal, const std::string& request_id) override;
  bool WantsStream(const http::RequestHead& head) override;
  http::Admission Open(const http::RequestHead& head, const Verified& verified,
                       const std::string& request_id) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  // One request on its way to an answer.
  struct Context {
    const http::Request& request;
    const S3Request& s3;
    const std::string& request_id;

    const http::RequestHead& head() const { return request.head; }
  };
  using Answer = Outcome<http::Response>;
  class UploadSink;

  Answer Dispatch(const Context& context);
  Answer DispatchBucket(const Context& context);
  Answer DispatchObject(const Context& context);
  Done CheckOwner(const http::RequestHead& head) const;

  Answer ListBuckets();
  Answer CreateBucket(const Context& context);
  Answer HeadBucket(const Context& context);
  Answer GetLocation(const Context& context);

  Answer PutObject(const Context& context);
  Answer CopyObject(const Context& context);
  Answer GetObject(const Context& context);
  Answer DeleteObjects(const Context& context);
  Outcome<Object> FindSource(const http::RequestHead& head);

  Answer ListObjects(const Context& context);
  Answer ListUploads(const Context& context);
  Answer CreateUpload(const Context& context);
  Answer UploadPart(const Context& context);
  Answer CopyPart(const Context& context);
  Answer CompleteUpload(const Context& context);
  Answer ListParts(const Context& context);
  Outcome<std::string> WholeChecksum(const Upload& upload, const std::vector<Part>& parts);

  const Settings& settings_;
  ObjectStore& store_;
  std::function<void(std::string_view)> log_;
  // Threads that compute MD5 beside the writing of a large body.
  std::shared_ptr<std::atomic<int>> md5_slots_;
};

}  // namespace bertie::cloud
