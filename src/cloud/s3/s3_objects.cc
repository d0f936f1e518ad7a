// Objects: put, get, copy, delete.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/encoding.h"
#include "cloud/s3/s3_service.h"
#include "cloud/s3/s3_sink.h"
#include "cloud/times.h"

namespace bertie::cloud {
namespace {

// A reader whose object is replaced between lookup and opening looks again; more often than this
// something else is wrong.
constexpr int kReadAttempts = 8;
constexpr size_t kMaxDeletes = 1000;

void AppendChecksum(const Checksum& checksum, Fields& fields) {
  if (checksum.algorithm.empty()) return;
  fields.push_back({ChecksumFieldName(checksum.algorithm), checksum.value});
  fields.push_back({"x-amz-checksum-type", checksum.composite ? "COMPOSITE" : "FULL_OBJECT"});
}

std::string Quoted(const std::string& etag) { return "\"" + etag + "\""; }

// The fields of an object's answer: what it was stored with, but for what the query overrides.
http::Response ObjectHead(const Object& object, const Query& query) {
  http::Response response;
  response.content_type = "binary/octet-stream";
  for (const http::Field& field : object.attributes.fields) {
    if (query.Has("response-" + field.name)) continue;
    if (field.name == "content-type") {
      response.content_type = field.value;
    } else {
      response.fields.push_back(field);
    }
  }
  for (const char* name : {"content-encoding", "content-disposition", "content-language",
                           "cache-control", "expires"}) {
    const std::string* value = query.Find(std::string("response-") + name);
    // A value with a line's end would add fields of its own.
    if (value == nullptr || value->find_first_of("\r\n") != std::string::npos) continue;
    response.fields.push_back({name, *value});
  }
  if (const std::string* type = query.Find("response-content-type");
      type != nullptr && type->find_first_of("\r\n") == std::string::npos) {
    response.content_type = *type;
  }
  // What a browser shows of an object is nothing of the console's, though it has its address.
  response.fields.push_back({"Content-Security-Policy",
                             "sandbox allow-scripts allow-forms allow-popups allow-downloads"});
  response.fields.push_back({"ETag", Quoted(object.attributes.etag)});
  response.fields.push_back({"Last-Modified", HttpTime(object.modified)});
  response.fields.push_back({"Accept-Ranges", "bytes"});
  return response;
}

}  // namespace

S3Service::Answer S3Service::PutObject(const Context& context) {
  const auto sink = std::static_pointer_cast<UploadSink>(context.request.sink);
  auto body = sink->body->Finish();
  if (!body.ok()) return body.error();
  auto fields = ReadObjectFields(context.head());
  if (!fields.ok()) return fields.error();
  const Attributes attributes{
      .etag = Hex(body->md5), .fields = *fields, .checksum = body->checksum};
  auto object = store_.Put(context.s3.bucket, context.s3.key, sink->body->blob(), attributes,
                           ReadWriteConditions(context.head()));
  if (!object.ok()) return object.error();
  http::Response response;
  response.fields.push_back({"ETag", Quoted(attributes.etag)});
  AppendChecksum(attributes.checksum, response.fields);
  for (const http::Field& field : attributes.fields) {
    if (field.name.starts_with("x-amz-server-side-encryption")) response.fields.push_back(field);
  }
  return response;
}

S3Service::Answer S3Service::GetObject(const Context& context) {
  const http::RequestHead& head = context.head();
  for (int attempt = 0;; ++attempt) {
    auto object = store_.Find(context.s3.bucket, context.s3.key);
    if (!object.ok()) return object.error();
    if (const auto status = CheckReadConditions(head, *object)) {
      if (*status == 304) {
        http::Response unchanged = ObjectHead(*object, context.s3.query);
        unchanged.status = 304;
        return unchanged;
      }
      return Failure("PreconditionFailed",
                     "At least one of the pre-conditions you specified did not hold");
    }
    auto range = ReadRange(head.Find("Range"), object->size);
    if (!range.ok()) return range.error();
    http::Response response = ObjectHead(*object, context.s3.query);
    const std::string* mode = head.Find("x-amz-checksum-mode");
    if (mode != nullptr && *mode == "ENABLED" && !*range) {
      AppendChecksum(object->attributes.checksum, response.fields);
    }
    const ByteRange bytes = range.value().value_or(ByteRange{0, object->size});
    if (*range) {
      response.status = 206;
      response.fields.push_back({"Content-Range", "bytes " + std::to_string(bytes.begin) + "-" +
                                                      std::to_string(bytes.begin + bytes.size - 1) +
                                                      "/" + std::to_string(object->size)});
    }
    if (head.method == "HEAD") {
      response.head_length = bytes.size;
      return response;
    }
    auto content = store_.Read(*object, bytes.begin, bytes.size);
    if (content.ok()) {
      response.body = std::move(content->bytes);
      response.files = std::move(content->files);
      return response;
    }
    if (std::string_view(content.error().code) != "NoSuchKey") return content.error();
    if (attempt == kReadAttempts) {
      return Failure("InternalError",
                     "the files of " + context.s3.bucket + "/" + context.s3.key + " are missing");
    }
  }
}

// x-amz-copy-source: "[/]BUCKET/KEY", percent-encoded.
Outcome<Object> S3Service::FindSource(const http::RequestHead& head) {
  auto source = PercentDecode(*head.Find("x-amz-copy-source"));
  if (source && source->starts_with('/')) source->erase(0, 1);
  const size_t slash = source ? source->find('/') : std::string::npos;
  if (slash == std::string::npos || slash + 1 == source->size()) {
    return Failure("InvalidArgument",
                   "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
  }
  auto object = store_.Find(source->substr(0, slash), source->substr(slash + 1));
  if (!object.ok()) return object;
  if (CheckReadConditions(head, *object, "x-amz-copy-source-")) {
    return Failure("PreconditionFailed",
                   "At least one of the pre-conditions you specified did not hold");
  }
  return object;
}

S3Service::Answer S3Service::CopyObject(const Context& context) {
  const http::RequestHead& head = context.head();
  auto source = FindSource(head);
  if (!source.ok()) return source.error();
  auto fields = ReadObjectFields(head);
  if (!fields.ok()) return fields.error();
  const std::string* directive = head.Find("x-amz-metadata-directive");
  const bool replace = directive != nullptr && *directive == "REPLACE";
  const std::string place = PercentDecode(*head.Find("x-amz-copy-source")).value_or("");
  const std::string self = context.s3.bucket + "/" + context.s3.key;
  if (!replace && (place == self || place == "/" + self)) {
    return Failure("InvalidRequest",
                   "This copy request is illegal because it is trying to copy an object to itself "
                   "without changing the object's metadata");
  }
  Attributes attributes = source->attributes;
  attributes.upload.clear();
  if (replace) attributes.fields = *fields;
  // The bytes' own MD5, where it is known, is a copy's ETag; of parts it is not known.
  auto object = store_.Copy(*source, context.s3.bucket, context.s3.key, attributes,
                            ReadWriteConditions(head));
  if (!object.ok()) return object.error();
  XmlWriter xml;
  xml.Open("CopyObjectResult", kS3Namespace)
      .Text("LastModified", IsoTime(object->modified))
      .Text("ETag", Quoted(attributes.etag));
  return S3Xml(xml);
}

S3Service::Answer S3Service::DeleteObjects(const Context& context) {
  const std::string& body = context.request.body;
  const http::RequestHead& head = context.head();
  if (const std::string* md5 = head.Find("Content-MD5");
      md5 != nullptr && *md5 != Base64(DigestOf(DigestKind::kMd5, body))) {
    return Failure("BadDigest", "The Content-MD5 you specified did not match what we received.");
  }
  for (const http::Field& field : head.fields) {
    const std::string algorithm = ChecksumAlgorithmOf(field.name);
    if (algorithm.empty()) continue;
    auto stream = ChecksumStream::Create(algorithm);
    stream->Update(body);
    if (Base64(stream->Finish()) != field.value) {
      return Failure("BadDigest",
                     "The " + algorithm + " you specified did not match the calculated checksum.");
    }
  }
  auto request = ParseXml(body);
  if (!request.ok()) return Failure("MalformedXML", request.error().message);
  std::vector<std::string> keys;
  for (const XmlElement& child : request->children) {
    if (child.name == "Object") keys.push_back(child.Get("Key"));
  }
  if (keys.empty() || keys.size() > kMaxDeletes) {
    return Failure("MalformedXML",
                   "a Delete has 1 to 1000 objects; this one has " + std::to_string(keys.size()));
  }
  if (Done done = store_.Delete(context.s3.bucket, keys); !done.ok()) return done.error();
  XmlWriter xml;
  xml.Open("DeleteResult", kS3Namespace);
  const bool quiet = request->Get("Quiet") == "true";
  for (const std::string& key : keys) {
    if (!quiet) xml.Open("Deleted").Text("Key", key).Close();
  }
  return S3Xml(xml);
}

}  // namespace bertie::cloud
