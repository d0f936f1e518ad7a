// Uploads in parts.
#include <algorithm>
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

constexpr uint64_t kMinPart = uint64_t{5} << 20;
constexpr size_t kMaxListed = 1000;
constexpr size_t kMaxParts = 10'000;

std::string Unquoted(std::string etag) {
  std::erase(etag, '"');
  return etag;
}

// "ChecksumCRC32", as elements are called.
std::string ChecksumElement(const std::string& algorithm) { return "Checksum" + algorithm; }

// The parts that a CompleteMultipartUpload names, with what the store knows of them.
Outcome<std::vector<Part>> SelectParts(const XmlElement& request, const std::vector<Part>& stored,
                                       const std::string& algorithm) {
  std::vector<Part> parts;
  for (const XmlElement& child : request.children) {
    if (child.name != "Part") continue;
    const auto number = ReadNumber(child.Get("PartNumber"));
    if (!number) return Failure("MalformedXML", "a Part without a PartNumber");
    if (!parts.empty() && *number <= parts.back().number) {
      return Failure("InvalidPartOrder",
                     "The list of parts was not in ascending order. The parts list must be "
                     "specified in order by part number.");
    }
    const auto found = std::find_if(stored.begin(), stored.end(),
                                    [&](const Part& part) { return part.number == *number; });
    const bool known = found != stored.end() && found->etag == Unquoted(child.Get("ETag"));
    const std::string checksum =
        algorithm.empty() ? std::string() : child.Get(ChecksumElement(algorithm));
    if (!known || (!checksum.empty() && checksum != found->checksum)) {
      return Failure("InvalidPart",
                     "One or more of the specified parts could not be found. The part may not "
                     "have been uploaded, or the specified entity tag may not match the part's.");
    }
    parts.push_back(*found);
  }
  if (parts.empty()) return Failure("MalformedXML", "the list of parts is empty");
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i].size < kMinPart) {
      return Failure("EntityTooSmall",
                     "Your proposed upload is smaller than the minimum allowed size");
    }
  }
  return parts;
}

std::string CompositeEtag(const std::vector<Part>& parts) {
  Digest digest(DigestKind::kMd5);
  for (const Part& part : parts) {
    std::string bytes;
    for (size_t i = 0; i + 1 < part.etag.size(); i += 2) {
      bytes += static_cast<char>(std::stoi(part.etag.substr(i, 2), nullptr, 16));
    }
    digest.Update(bytes);
  }
  return Hex(digest.Finish()) + "-" + std::to_string(parts.size());
}

std::string CompositeChecksum(const std::string& algorithm, const std::vector<Part>& parts) {
  auto stream = ChecksumStream::Create(algorithm);
  for (const Part& part : parts) stream->Update(DecodeBase64(part.checksum).value_or(""));
  return Base64(stream->Finish()) + "-" + std::to_string(parts.size());
}

http::Response CompleteAnswer(const std::string& bucket, const Object& object) {
  const Attributes& attributes = object.attributes;
  XmlWriter xml;
  xml.Open("CompleteMultipartUploadResult", kS3Namespace)
      .Text("Location", "/" + bucket + "/" + PercentEncode(object.key, "/"))
      .Text("Bucket", bucket)
      .Text("Key", object.key)
      .Text("ETag", "\"" + attributes.etag + "\"");
  if (!attributes.checksum.algorithm.empty()) {
    xml.Text(ChecksumElement(attributes.checksum.algorithm), attributes.checksum.value)
        .Text("ChecksumType", attributes.checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  return S3Xml(xml);
}

}  // namespace

S3Service::Answer S3Service::CreateUpload(const Context& context) {
  const http::RequestHead& head = context.head();
  auto fields = ReadObjectFields(head);
  if (!fields.ok()) return fields.error();
  Upload upload{.key = context.s3.key, .fields = *fields};
  if (const std::string* algorithm = head.Find("x-amz-checksum-algorithm")) {
    if (!ChecksumStream::Create(*algorithm)) {
      return Failure("InvalidRequest", "Checksum algorithm provided is unsupported.");
    }
    const std::string* type = head.Find("x-amz-checksum-type");
    upload.checksum_algorithm = *algorithm;
    upload.checksum_composite = type != nullptr ? *type == "COMPOSITE" : *algorithm != "CRC64NVME";
  }
  auto made = store_.CreateUpload(context.s3.bucket, std::move(upload));
  if (!made.ok()) return made.error();
  XmlWriter xml;
  xml.Open("InitiateMultipartUploadResult", kS3Namespace)
      .Text("Bucket", context.s3.bucket)
      .Text("Key", context.s3.key)
      .Text("UploadId", made->id);
  http::Response response = S3Xml(xml);
  if (!made->checksum_algorithm.empty()) {
    response.fields.push_back({"x-amz-checksum-algorithm", made->checksum_algorithm});
    response.fields.push_back(
        {"x-amz-checksum-type", made->checksum_composite ? "COMPOSITE" : "FULL_OBJECT"});
  }
  return response;
}

S3Service::Answer S3Service::UploadPart(const Context& context) {
  const auto sink = std::static_pointer_cast<UploadSink>(context.request.sink);
  auto body = sink->body->Finish();
  if (!body.ok()) return body.error();
  Part part{.number = *ReadNumber(context.s3.query.Get("partNumber")), .etag = Hex(body->md5)};
  if (body->checksum.algorithm == sink->upload->checksum_algorithm) {
    part.checksum = body->checksum.value;
  } else if (!sink->upload->checksum_algorithm.empty()) {
    return Failure("InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: " +
                                         sink->upload->checksum_algorithm);
  }
  if (Done done = store_.PutPart(*sink->upload, part, sink->body->blob()); !done.ok()) {
    return done.error();
  }
  http::Response response;
  response.fields.push_back({"ETag", "\"" + part.etag + "\""});
  if (!body->checksum.algorithm.empty()) {
    response.fields.push_back({ChecksumFieldName(body->checksum.algorithm), body->checksum.value});
  }
  return response;
}

S3Service::Answer S3Service::CopyPart(const Context& context) {
  const http::RequestHead& head = context.head();
  const Query& query = context.s3.query;
  auto upload = store_.FindUpload(context.s3.bucket, context.s3.key, query.Get("uploadId"));
  if (!upload.ok()) return upload.error();
  const auto number = ReadNumber(query.Get("partNumber"));
  if (!number || *number < 1 || *number > static_cast<int64_t>(kMaxParts)) {
    return Failure("InvalidArgument",
                   "Part number must be an integer between 1 and 10000, inclusive");
  }
  auto source = FindSource(head);
  if (!source.ok()) return source.error();
  auto range = ReadRange(head.Find("x-amz-copy-source-range"), source->size);
  if (!range.ok()) return range.error();
  const ByteRange bytes = range.value().value_or(ByteRange{0, source->size});
  auto content = store_.Read(*source, bytes.begin, bytes.size);
  if (!content.ok()) return content.error();
  S3Body body({}, store_.NewBlob(BlobKind::kFile), upload->checksum_algorithm, md5_slots_);
  if (Done done = body.Write(content->bytes); !done.ok()) return done.error();
  for (const http::FilePiece& piece : content->files) {
    const Status copied = ReadPiece(piece, [&](std::string_view part) -> Status {
      Done done = body.Write(part);
      return done.ok() ? Status() : Error{ErrorCode::kIo, done.error().message};
    });
    if (!copied.ok()) return Failure(copied.error());
  }
  auto result = body.Finish();
  if (!result.ok()) return result.error();
  const Part part{.number = *number, .etag = Hex(result->md5), .checksum = result->checksum.value};
  if (Done done = store_.PutPart(*upload, part, body.blob()); !done.ok()) return done.error();
  XmlWriter xml;
  xml.Open("CopyPartResult", kS3Namespace)
      .Text("LastModified", IsoTime(Now()))
      .Text("ETag", "\"" + part.etag + "\"");
  if (!part.checksum.empty()) {
    xml.Text(ChecksumElement(upload->checksum_algorithm), part.checksum);
  }
  return S3Xml(xml);
}

// Of all bytes, read once more.
Outcome<std::string> S3Service::WholeChecksum(const Upload& upload,
                                              const std::vector<Part>& parts) {
  auto stream = ChecksumStream::Create(upload.checksum_algorithm);
  for (const Part& part : parts) {
    auto piece = store_.ReadPart(upload, part);
    if (!piece.ok()) return piece.error();
    const Status read = ReadPiece(*piece, [&](std::string_view bytes) -> Status {
      stream->Update(bytes);
      return {};
    });
    if (!read.ok()) return Failure(read.error());
  }
  return Base64(stream->Finish());
}

S3Service::Answer S3Service::CompleteUpload(const Context& context) {
  const std::string id = context.s3.query.Get("uploadId");
  auto upload = store_.FindUpload(context.s3.bucket, context.s3.key, id);
  if (!upload.ok()) {
    // The client may ask again because the first answer was lost.
    auto made = store_.Find(context.s3.bucket, context.s3.key);
    if (made.ok() && made->attributes.upload == id) {
      return CompleteAnswer(context.s3.bucket, *made);
    }
    return upload.error();
  }
  auto request = ParseXml(context.request.body);
  if (!request.ok()) return Failure("MalformedXML", request.error().message);
  auto stored = store_.Parts(*upload, 0, kMaxParts);
  if (!stored.ok()) return stored.error();
  const std::string& algorithm = upload->checksum_algorithm;
  auto parts = SelectParts(*request, *stored, algorithm);
  if (!parts.ok()) return parts.error();
  Attributes attributes;
  attributes.etag = CompositeEtag(*parts);
  attributes.fields = upload->fields;
  attributes.upload = id;
  attributes.checksum.algorithm = algorithm;
  attributes.checksum.composite = upload->checksum_composite;
  if (!algorithm.empty() && upload->checksum_composite) {
    attributes.checksum.value = CompositeChecksum(algorithm, *parts);
  } else if (!algorithm.empty()) {
    auto whole = WholeChecksum(*upload, *parts);
    if (!whole.ok()) return whole.error();
    attributes.checksum.value = *whole;
  }
  const std::string* said =
      algorithm.empty() ? nullptr : context.head().Find(ChecksumFieldName(algorithm));
  const std::string value = attributes.checksum.value;
  if (said != nullptr && *said != value && *said != value.substr(0, value.find('-'))) {
    return Failure("BadDigest",
                   "The " + algorithm + " you specified did not match the calculated checksum.");
  }
  auto object = store_.Complete(context.s3.bucket, *upload, *parts, attributes,
                                ReadWriteConditions(context.head()));
  if (!object.ok()) return object.error();
  return CompleteAnswer(context.s3.bucket, *object);
}

S3Service::Answer S3Service::ListParts(const Context& context) {
  const Query& query = context.s3.query;
  const std::string id = query.Get("uploadId");
  auto upload = store_.FindUpload(context.s3.bucket, context.s3.key, id);
  if (!upload.ok()) return upload.error();
  const int64_t after = ReadNumber(query.Get("part-number-marker")).value_or(0);
  const size_t max = static_cast<size_t>(
      std::min<int64_t>(ReadNumber(query.Get("max-parts")).value_or(kMaxListed), kMaxListed));
  auto parts = store_.Parts(*upload, after, max + 1);
  if (!parts.ok()) return parts.error();
  const bool truncated = parts->size() > max;
  if (truncated) parts->resize(max);
  XmlWriter xml;
  xml.Open("ListPartsResult", kS3Namespace)
      .Text("Bucket", context.s3.bucket)
      .Text("Key", context.s3.key)
      .Text("UploadId", id)
      .Text("PartNumberMarker", std::to_string(after))
      .Text("NextPartNumberMarker", std::to_string(parts->empty() ? after : parts->back().number))
      .Text("MaxParts", std::to_string(max))
      .Text("IsTruncated", truncated ? "true" : "false")
      .Text("StorageClass", "STANDARD");
  if (!upload->checksum_algorithm.empty()) {
    xml.Text("ChecksumAlgorithm", upload->checksum_algorithm);
  }
  for (const Part& part : *parts) {
    xml.Open("Part")
        .Text("PartNumber", std::to_string(part.number))
        .Text("LastModified", IsoTime(part.modified))
        .Text("ETag", "\"" + part.etag + "\"")
        .Text("Size", std::to_string(part.size));
    if (!part.checksum.empty()) {
      xml.Text(ChecksumElement(upload->checksum_algorithm), part.checksum);
    }
    xml.Close();
  }
  return S3Xml(xml);
}

S3Service::Answer S3Service::ListUploads(const Context& context) {
  const std::string prefix = context.s3.query.Get("prefix");
  const bool encode = context.s3.query.Get("encoding-type") == "url";
  auto uploads = store_.Uploads(context.s3.bucket);
  if (!uploads.ok()) return uploads.error();
  XmlWriter xml;
  xml.Open("ListMultipartUploadsResult", kS3Namespace)
      .Text("Bucket", context.s3.bucket)
      .Text("Prefix", ListedKey(prefix, encode))
      .Text("MaxUploads", std::to_string(uploads->size()))
      .Text("IsTruncated", "false");
  if (encode) xml.Text("EncodingType", "url");
  for (const Upload& upload : *uploads) {
    if (!upload.key.starts_with(prefix)) continue;
    xml.Open("Upload")
        .Text("Key", ListedKey(upload.key, encode))
        .Text("UploadId", upload.id)
        .Text("StorageClass", "STANDARD")
        .Text("Initiated", IsoTime(upload.created))
        .Close();
  }
  return S3Xml(xml);
}

}  // namespace bertie::cloud
