// The sink that an object's or a part's body goes to. Internal to the S3 service.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cloud/s3/s3_body.h"
#include "cloud/s3/s3_service.h"

namespace bertie::cloud {

class S3Service::UploadSink : public http::BodySink {
 public:
  UploadSink(S3Request s3_request, http::RequestHead head, std::string request_id,
             std::optional<Upload> a_upload, std::unique_ptr<S3Body> a_body)
      : s3(std::move(s3_request)),
        upload(std::move(a_upload)),
        body(std::move(a_body)),
        head_(std::move(head)),
        request_id_(std::move(request_id)) {}

  std::optional<http::Response> Write(std::string_view bytes) override {
    Done done = body->Write(bytes);
    if (done.ok()) return std::nullopt;
    return S3Error(done.error(), head_, request_id_);
  }

  const S3Request s3;
  const std::optional<Upload> upload;  // of a part
  const std::unique_ptr<S3Body> body;

 private:
  const http::RequestHead head_;
  const std::string request_id_;
};

}  // namespace bertie::cloud
