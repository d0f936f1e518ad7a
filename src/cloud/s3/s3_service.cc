#include "cloud/s3/s3_service.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "cloud/s3/s3_sink.h"
#include "cloud/times.h"

namespace bertie::cloud {
namespace {

// Features of S3 that are asked for by a name in the query, and are not here.
constexpr std::array kUnknownSubresources = {"accelerate",
                                             "acl",
                                             "analytics",
                                             "attributes",
                                             "cors",
                                             "encryption",
                                             "intelligent-tiering",
                                             "inventory",
                                             "legal-hold",
                                             "lifecycle",
                                             "logging",
                                             "metrics",
                                             "notification",
                                             "object-lock",
                                             "ownershipControls",
                                             "partNumber",
                                             "policy",
                                             "policyStatus",
                                             "publicAccessBlock",
                                             "replication",
                                             "requestPayment",
                                             "restore",
                                             "retention",
                                             "select",
                                             "tagging",
                                             "torrent",
                                             "versioning",
                                             "versions",
                                             "website"};

Failure NotImplemented(const std::string& what) {
  return {"NotImplemented",
          "A header or query you provided implies functionality that is not "
          "implemented: " +
              what};
}

const char* S3AuthCode(AuthFault fault) {
  switch (fault) {
    case AuthFault::kUnknownKey:
      return "InvalidAccessKeyId";
    case AuthFault::kMismatch:
      return "SignatureDoesNotMatch";
    case AuthFault::kSkew:
      return "RequestTimeTooSkewed";
    case AuthFault::kIncomplete:
      return "AuthorizationHeaderMalformed";
    case AuthFault::kExpiredToken:
      return "ExpiredToken";
    case AuthFault::kInvalidToken:
      return "InvalidToken";
    default:
      return "AccessDenied";
  }
}

}  // namespace

S3Service::S3Service(const Settings& settings, ObjectStore& store,
                     std::function<void(std::string_view)> log)
    : settings_(settings),
      store_(store),
      log_(std::move(log)),
      md5_slots_(std::make_shared<std::atomic<int>>(
          std::max(1, static_cast<int>(std::thread::hardware_concurrency())))) {}

http::Response S3Service::Deny(const http::RequestHead& head, const AuthError& error,
                               const std::string& request_id) {
  std::string message = error.fault == AuthFault::kMissing ? "Access Denied" : error.message;
  return S3Error(Failure(S3AuthCode(error.fault), std::move(message)), head, request_id);
}

http::Response S3Service::Reject(const http::Refusal& refusal, const std::string& request_id) {
  XmlWriter xml;
  xml.Open("Error").Text("Code", refusal.type).Text("Message", refusal.message);
  xml.Text("RequestId", request_id).Text("HostId", request_id);
  http::Response response = S3Xml(xml);
  response.status = refusal.status;
  return response;
}

Done S3Service::CheckOwner(const http::RequestHead& head) const {
  for (const char* name : {"x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"}) {
    const std::string* owner = head.Find(name);
    if (owner != nullptr && *owner != settings_.account) {
      return Failure("AccessDenied", "Access Denied: the bucket's owner is not " + *owner);
    }
  }
  return std::monostate();
}

// Objects and parts that come with their bytes.
bool S3Service::WantsStream(const http::RequestHead& head) {
  if (head.method != "PUT" || head.Find("x-amz-copy-source") != nullptr) return false;
  const auto s3 = ReadS3Request(head, settings_);
  return s3.ok() && !s3.value().key.empty();
}

http::Admission S3Service::Open(const http::RequestHead& head, const Verified& verified,
                                const std::string& request_id) {
  const auto refuse = [&](const Failure& failure) {
    return http::Admission{.answer = S3Error(failure, head, request_id)};
  };
  auto s3 = ReadS3Request(head, settings_);
  if (!s3.ok()) return refuse(s3.error());
  if (Done owner = CheckOwner(head); !owner.ok()) return refuse(owner.error());
  if (!store_.FindBucket(s3->bucket)) return refuse(NoSuchBucket());
  auto rules = BodyRules::Of(head, verified);
  if (!rules.ok()) return refuse(rules.error());
  const std::string* upload_id = s3->query.Find("uploadId");
  const std::string part = s3->query.Get("partNumber");
  std::optional<Upload> upload;
  if (upload_id != nullptr) {
    const auto number = ReadNumber(part);
    if (!number || *number < 1 || *number > 10'000) {
      return refuse(Failure("InvalidArgument",
                            "Part number must be an integer between 1 and 10000, inclusive"));
    }
    auto found = store_.FindUpload(s3->bucket, s3->key, *upload_id);
    if (!found.ok()) return refuse(found.error());
    upload = *std::move(found);
  } else {
    for (const char* name : kUnknownSubresources) {
      if (s3->query.Has(name)) return refuse(NotImplemented(name));
    }
    if (auto fields = ReadObjectFields(head); !fields.ok()) return refuse(fields.error());
  }
  auto body = std::make_unique<S3Body>(
      *std::move(rules), store_.NewBlob(upload ? BlobKind::kFile : BlobKind::kAny),
      upload ? upload->checksum_algorithm : std::string(), md5_slots_);
  return {.sink = std::make_shared<UploadSink>(*std::move(s3), head, request_id, std::move(upload),
                                               std::move(body))};
}

void S3Service::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  const http::RequestHead& head = call.request.head;
  auto s3 = ReadS3Request(head, settings_);
  Answer answer = s3.ok() ? Dispatch({call.request, *s3, call.request_id}) : Answer(s3.error());
  if (answer.ok()) return exchange->Respond(*std::move(answer));
  if (S3StatusOf(answer.error().code) == 500) log_("S3: " + answer.error().message);
  exchange->Respond(S3Error(answer.error(), head, call.request_id));
}

S3Service::Answer S3Service::Dispatch(const Context& context) {
  if (Done owner = CheckOwner(context.head()); !owner.ok()) return owner.error();
  if (context.s3.bucket.empty()) {
    if (context.head().method == "GET") return ListBuckets();
    return Failure("MethodNotAllowed",
                   "The specified method is not allowed against this resource.");
  }
  const bool on_part = context.s3.query.Has("uploadId");
  for (const char* name : kUnknownSubresources) {
    if (context.s3.query.Has(name) && !(on_part && std::string_view(name) == "partNumber")) {
      return NotImplemented(name);
    }
  }
  if (context.s3.query.Has("versionId") && context.s3.query.Get("versionId") != "null") {
    return Failure("NoSuchVersion", "The specified version does not exist.");
  }
  return context.s3.key.empty() ? DispatchBucket(context) : DispatchObject(context);
}

S3Service::Answer S3Service::DispatchBucket(const Context& context) {
  const std::string& method = context.head().method;
  const Query& query = context.s3.query;
  if (method == "PUT") return CreateBucket(context);
  if (!store_.FindBucket(context.s3.bucket)) return NoSuchBucket();
  if (method == "HEAD") return HeadBucket(context);
  if (method == "GET" && query.Has("location")) return GetLocation(context);
  if (method == "GET" && query.Has("uploads")) return ListUploads(context);
  if (method == "GET") return ListObjects(context);
  if (method == "POST" && query.Has("delete")) return DeleteObjects(context);
  if (method == "DELETE") {
    Done done = store_.DeleteBucket(context.s3.bucket);
    if (!done.ok()) return done.error();
    return http::Response{.status = 204};
  }
  return Failure("MethodNotAllowed", "The specified method is not allowed against this resource.");
}

S3Service::Answer S3Service::DispatchObject(const Context& context) {
  const std::string& method = context.head().method;
  const Query& query = context.s3.query;
  const bool on_upload = query.Has("uploadId");
  if (!store_.FindBucket(context.s3.bucket)) return NoSuchBucket();
  if (method == "PUT") {
    const bool copies = context.head().Find("x-amz-copy-source") != nullptr;
    if (on_upload) return copies ? CopyPart(context) : UploadPart(context);
    return copies ? CopyObject(context) : PutObject(context);
  }
  if (method == "HEAD" || (method == "GET" && !on_upload)) return GetObject(context);
  if (method == "GET") return ListParts(context);
  if (method == "POST" && query.Has("uploads")) return CreateUpload(context);
  if (method == "POST" && on_upload) return CompleteUpload(context);
  if (method == "DELETE" && on_upload) {
    auto upload = store_.FindUpload(context.s3.bucket, context.s3.key, query.Get("uploadId"));
    if (!upload.ok()) return upload.error();
    if (Done done = store_.Abort(*upload); !done.ok()) return done.error();
    return http::Response{.status = 204};
  }
  if (method == "DELETE") {
    Done done = store_.Delete(context.s3.bucket, {context.s3.key});
    if (!done.ok()) return done.error();
    return http::Response{.status = 204};
  }
  return Failure("MethodNotAllowed", "The specified method is not allowed against this resource.");
}

S3Service::Answer S3Service::ListBuckets() {
  XmlWriter xml;
  xml.Open("ListAllMyBucketsResult", kS3Namespace);
  xml.Open("Owner").Text("ID", settings_.account).Text("DisplayName", settings_.account).Close();
  xml.Open("Buckets");
  for (const Bucket& bucket : store_.Buckets()) {
    xml.Open("Bucket").Text("Name", bucket.name).Text("CreationDate", IsoTime(bucket.created));
    xml.Text("BucketRegion", bucket.region).Close();
  }
  return S3Xml(xml);
}

S3Service::Answer S3Service::CreateBucket(const Context& context) {
  std::string region = settings_.region;
  if (!context.request.body.empty()) {
    auto xml = ParseXml(context.request.body);
    if (!xml.ok()) return Failure("MalformedXML", xml.error().message);
    if (std::string wanted = xml->Get("LocationConstraint"); !wanted.empty()) region = wanted;
  }
  if (region.size() > 32 ||
      region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    return Failure("InvalidLocationConstraint", "The specified location-constraint is not valid");
  }
  Done done = store_.CreateBucket(context.s3.bucket, region);
  if (!done.ok()) return done.error();
  return http::Response{.fields = {{"Location", "/" + context.s3.bucket}}};
}

S3Service::Answer S3Service::HeadBucket(const Context& context) {
  const auto bucket = store_.FindBucket(context.s3.bucket);
  if (!bucket) return NoSuchBucket();
  return http::Response{.content_type = "application/xml",
                        .fields = {{"x-amz-bucket-region", bucket->region}}};
}

S3Service::Answer S3Service::GetLocation(const Context& context) {
  const auto bucket = store_.FindBucket(context.s3.bucket);
  if (!bucket) return NoSuchBucket();
  // us-east-1 is told by nothing at all.
  const std::string region = bucket->region == "us-east-1" ? std::string() : bucket->region;
  std::string body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"" +
                     std::string(kS3Namespace) + "\">" + region + "</LocationConstraint>";
  return http::Response{.content_type = "application/xml", .body = std::move(body)};
}

}  // namespace bertie::cloud
