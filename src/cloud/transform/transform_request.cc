#include "cloud/transform/transform_request.h"

#include "base/ascii.h"
#include "base/quote.h"
#include "cloud/request_reader.h"
#include "cloud/s3/s3_members.h"

namespace bertie::cloud {
namespace {

using formats::Json;

constexpr int64_t kMaxPayloads = 100;  // MB, of all requests to an instance together
constexpr int64_t kTransformInstances = 64;
constexpr char kCsv[] = "text/csv";
constexpr char kUnoffered[] = "bertie cloud does not offer it";

// Without parameters, in lower case.
std::string MediaType(const std::string& content_type) {
  std::string type = AsciiLower(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  return type;
}

bool IsJsonLines(const std::string& type) {
  return type == "application/jsonlines" || type == "application/x-jsonlines" ||
         type == "application/jsonl" || type == "application/x-ndjson";
}

void ReadSource(RequestReader& input, TransformRequest& job) {
  const Json* source = input.Object("DataSource", Presence::kRequired);
  if (source == nullptr) return;
  RequestReader outer = input.Inside("DataSource", *source);
  const Json* s3 = outer.Object("S3DataSource", Presence::kRequired);
  if (s3 == nullptr) return;
  RequestReader reader = outer.Inside("S3DataSource", *s3);
  job.input = ReadS3Uri(reader, "S3Uri");
  const std::string type =
      reader.Text("S3DataType", Presence::kRequired,
                  {.one_of = {"S3Prefix", "ManifestFile", "AugmentedManifestFile"}});
  job.manifest = type == "ManifestFile";
  if (type == "AugmentedManifestFile") reader.Fault("S3DataType", Quote(type), kUnoffered);
}

void ReadInput(RequestReader& request, TransformRequest& job) {
  const Json* object = request.Object("TransformInput", Presence::kRequired);
  if (object == nullptr) return;
  RequestReader input = request.Inside("TransformInput", *object);
  ReadSource(input, job);
  job.content_type = input.Text("ContentType", Presence::kOptional, {.max = 256});
  job.gzip =
      input.Text("CompressionType", Presence::kOptional, {.one_of = {"None", "Gzip"}}) == "Gzip";
  const std::string split = input.Text("SplitType", Presence::kOptional,
                                       {.one_of = {"None", "Line", "RecordIO", "TFRecord"}});
  job.by_line = split == "Line";
  if (split == "RecordIO" || split == "TFRecord") {
    input.Fault("SplitType", Quote(split), kUnoffered);
  }
}

void ReadOutput(RequestReader& request, TransformRequest& job) {
  const Json* object = request.Object("TransformOutput", Presence::kRequired);
  if (object == nullptr) return;
  RequestReader output = request.Inside("TransformOutput", *object);
  job.output = ReadS3Folder(output, "S3OutputPath");
  job.accept = output.Text("Accept", Presence::kOptional, {.max = 256});
  job.line_ends =
      output.Text("AssembleWith", Presence::kOptional, {.one_of = {"None", "Line"}}) == "Line";
}

void ReadPayload(RequestReader& request, TransformRequest& job) {
  const std::string strategy = request.Text("BatchStrategy", Presence::kOptional,
                                            {.one_of = {"MultiRecord", "SingleRecord"}});
  job.single_record = strategy == "SingleRecord";
  const int64_t megabytes =
      request.Integer("MaxPayloadInMB", Presence::kOptional, 0, kMaxPayloads, 6);
  job.max_payload = static_cast<uint64_t>(megabytes) << 20;
  const int64_t concurrent =
      request.Integer("MaxConcurrentTransforms", Presence::kOptional, 0, kMaxPayloads, 0);
  if (concurrent > 0 && concurrent * megabytes > kMaxPayloads) {
    request.Fault("MaxConcurrentTransforms", std::to_string(concurrent),
                  "MaxConcurrentTransforms times MaxPayloadInMB must be at most " +
                      std::to_string(kMaxPayloads));
  }
  if (concurrent > 0) job.concurrent = concurrent;
  if (const Json* client = request.Object("ModelClientConfig", Presence::kOptional)) {
    RequestReader reader = request.Inside("ModelClientConfig", *client);
    job.time_limit = std::chrono::seconds(
        reader.Integer("InvocationsTimeoutInSeconds", Presence::kOptional, 1, 3600, 600));
    job.retries = reader.Integer("InvocationsMaxRetries", Presence::kOptional, 0, 3, 3);
  }
}

void ReadResources(RequestReader& request, TransformRequest& job) {
  const Json* object = request.Object("TransformResources", Presence::kRequired);
  if (object == nullptr) return;
  RequestReader reader = request.Inside("TransformResources", *object);
  job.instance_type =
      reader.Text("InstanceType", Presence::kRequired, {.max = 64, .pattern = "ml\\..+"});
  job.instances = reader.Integer("InstanceCount", Presence::kRequired, 1, kTransformInstances, 1);
}

// Of the input beside the answers.
void CheckJoin(RequestReader& processing, const TransformRequest& job) {
  const std::string type = MediaType(job.content_type);
  const std::string accept = MediaType(job.accept);
  const bool json = job.form() == RecordForm::kJson &&
                    (accept.empty() || accept == "application/json" || IsJsonLines(accept));
  const bool csv = type == kCsv && (accept.empty() || accept == kCsv);
  if (job.by_line && (json || csv)) return;
  processing.Fault("JoinSource", "'Input'",
                   "bertie cloud joins lines of JSON or of text/csv, SplitType Line, with answers "
                   "of the same kind");
}

void ReadProcessing(RequestReader& request, TransformRequest& job) {
  const Json* object = request.Object("DataProcessing", Presence::kOptional);
  if (object == nullptr) return;
  RequestReader reader = request.Inside("DataProcessing", *object);
  for (const char* member : {"InputFilter", "OutputFilter"}) {
    const std::string filter = reader.Text(member, Presence::kOptional, {.max = 63});
    if (filter.empty() || filter == "$") continue;
    reader.Fault(member, Quote(filter), "Member must be $: bertie cloud does not offer filters");
  }
  job.join =
      reader.Text("JoinSource", Presence::kOptional, {.one_of = {"None", "Input"}}) == "Input";
  if (job.join) CheckJoin(reader, job);
}

}  // namespace

RecordForm TransformRequest::form() const {
  const std::string type = MediaType(content_type);
  if (type == "text/plain") return RecordForm::kText;
  const bool json = IsJsonLines(type) || (by_line && type == "application/json");
  return json ? RecordForm::kJson : RecordForm::kAsIs;
}

std::string TransformRequest::accept_field() const {
  if (IsJsonLines(MediaType(accept))) return "application/json";
  if (accept.empty() && join && form() == RecordForm::kAsIs) return kCsv;
  return accept;
}

Outcome<TransformRequest> ParseTransformRequest(const Json& json) {
  RequestReader request(json);
  TransformRequest job;
  job.name = request.Text("TransformJobName", Presence::kRequired, NameRule());
  job.model = request.Text("ModelName", Presence::kRequired, ModelNameRule());
  ReadInput(request, job);
  ReadOutput(request, job);
  ReadPayload(request, job);
  ReadResources(request, job);
  ReadProcessing(request, job);
  job.environment = request.Map("Environment", 16,
                                {.max = 1024, .pattern = "[a-zA-Z_][a-zA-Z0-9_]*"}, {.max = 10240});
  if (request.Has("DataCaptureConfig")) request.Fault("DataCaptureConfig", "given", kUnoffered);
  job.tags = request.Tags();
  if (auto failure = request.failure()) return *failure;
  return job;
}

int64_t TransformInstancesIn(const Json& request) {
  return CountIn(request, "TransformResources", "InstanceCount", kTransformInstances);
}

}  // namespace bertie::cloud
