// What the cloud reads of its clients: signatures and their canonical form, XML, aws-chunked
// bodies, S3's addresses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "cloud/s3/aws_chunked.h"
#include "cloud/s3/s3_request.h"
#include "cloud/sigv4.h"
#include "cloud/xml.h"
#include "http/head_parser.h"

namespace {

using namespace bertie;
using namespace bertie::cloud;

void Head(std::string_view text) {
  auto parsed = http::ParseHead(text, http::Limits{});
  const auto* head = std::get_if<http::RequestHead>(&parsed);
  if (head == nullptr) return;
  Settings settings;
  settings.credentials = Credentials{"AKIDEXAMPLE", "secret"};
  // Nobody guesses a signature.
  const auto verified = Verifier(settings).Verify(*head, kEmptySha256, 1'440'938'160'000);
  if (std::holds_alternative<Verified>(verified)) std::abort();
  static_cast<void>(ReadS3Request(*head, settings));
}

void Chunks(std::string_view text) {
  const bool has_trailer = text.size() % 2 == 0;
  std::string whole;
  AwsChunkedDecoder at_once({.has_trailer = has_trailer});
  const bool ok = at_once.Feed(text, whole).ok();
  std::string pieces;
  AwsChunkedDecoder bytewise({.has_trailer = has_trailer});
  bool also_ok = true;
  for (const char c : text) also_ok = also_ok && bytewise.Feed({&c, 1}, pieces).ok();
  if (ok != also_ok || (ok && (whole != pieces || at_once.done() != bytewise.done()))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Head(text);
  Chunks(text);
  static_cast<void>(ParseXml(text));
  return 0;
}
