#include "cloud/sigv4.h"

#include <gtest/gtest.h>

#include <random>

#include "base/digest.h"
#include "base/encoding.h"
#include "cloud/s3/aws_chunked.h"
#include "cloud/uri.h"
#include "formats/json.h"
#include "http/head_parser.h"

namespace bertie::cloud {
namespace {

using formats::Json;

constexpr char kTime[] = "20150830T123600Z";
const Credentials kCredentials{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
const Milliseconds kNow = *ParseBasicTime(kTime);

Verifier MakeVerifier() {
  Settings settings;
  settings.credentials = kCredentials;
  return Verifier(settings);
}

// The head of a case, without its signature.
http::RequestHead HeadOf(const Json& vector) {
  http::RequestHead head;
  head.method = vector["method"];
  const std::string target = vector["target"];
  head.path = target.substr(0, target.find('?'));
  if (target.find('?') != std::string::npos) head.query = target.substr(target.find('?') + 1);
  for (const Json& field : vector["fields"]) head.fields.push_back({field[0], field[1]});
  return head;
}

std::vector<std::string> SplitNames(const std::string& text) {
  std::vector<std::string> names{""};
  for (const char c : text) {
    if (c == ';') {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  return names;
}

std::string SignatureOf(const http::RequestHead& head, const Signature& signature,
                        const std::string& payload, const CanonicalOptions& options,
                        const std::string& secret) {
  const std::string canonical = CanonicalRequest(head, signature, payload, options);
  return Sign(SigningKey(secret, signature), "AWS4-HMAC-SHA256\n" + signature.timestamp + "\n" +
                                                 signature.Scope() + "\n" +
                                                 Hex(DigestOf(DigestKind::kSha256, canonical)));
}

// The 38 requests of AWS's signing test suite, signed in the header and in the query; the
// signatures are botocore's (make_sigv4_vectors.py).
TEST(SigV4, PublishedVectors) {
  auto vectors = formats::ReadJsonFile(BERTIE_TESTS_DIR "/cloud/sigv4_vectors.json");
  ASSERT_TRUE(vectors.ok()) << vectors.error().message;
  EXPECT_EQ(vectors->size(), 38u);
  for (const Json& vector : *vectors) {
    const CanonicalOptions options{.normalize_path = vector["normalize"], .encode_twice = true};
    Signature signature;
    signature.date = vector["timestamp"].get<std::string>().substr(0, 8);
    signature.region = vector["region"];
    signature.service = vector["service"];
    signature.timestamp = vector["timestamp"];
    http::RequestHead head = HeadOf(vector);
    const std::string token = vector["token"];
    head.fields.push_back({"X-Amz-Date", signature.timestamp});
    if (!token.empty()) head.fields.push_back({"X-Amz-Security-Token", token});
    if (vector["sign_body"]) {
      head.fields.push_back({"X-Amz-Content-Sha256", vector["header"]["payload"]});
    }
    signature.signed_headers = SplitNames(vector["header"]["signed_headers"]);
    EXPECT_EQ(
        SignatureOf(head, signature, vector["header"]["payload"], options, vector["secret_key"]),
        vector["header"]["signature"].get<std::string>())
        << vector["name"];

    http::RequestHead presigned = HeadOf(vector);
    presigned.query = vector["query"]["query"];
    signature.signed_headers = SplitNames(vector["query"]["signed_headers"]);
    EXPECT_EQ(SignatureOf(presigned, signature, vector["query"]["payload"], options,
                          vector["secret_key"]),
              vector["query"]["signature"].get<std::string>())
        << vector["name"];
  }
}

TEST(SigV4, TheKeyOfADay) {
  Signature signature;
  signature.date = "20150830";
  signature.region = "us-east-1";
  signature.service = "iam";
  EXPECT_EQ(Hex(SigningKey(kCredentials.secret_key, signature)),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}

// A request to S3, signed by the credentials given; text as on the wire.
std::string SignedRequest(const Credentials& credentials, const std::string& service = "s3") {
  http::RequestHead head;
  head.method = "PUT";
  head.path = "/bucket/a%20key/b.txt";
  head.query = "partNumber=3&uploadId=abc%2Fdef";
  head.fields = {{"Host", "127.0.0.1:4566"},
                 {"X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"},
                 {"X-Amz-Date", kTime},
                 {"x-amz-checksum-crc32", "NSRBwg=="}};
  Signature signature;
  signature.signed_headers = {"host", "x-amz-checksum-crc32", "x-amz-content-sha256", "x-amz-date"};
  if (!credentials.session_token.empty()) {
    head.fields.push_back({"X-Amz-Security-Token", credentials.session_token});
    signature.signed_headers.push_back("x-amz-security-token");
  }
  signature.date = "20150830";
  signature.region = "us-west-2";
  signature.service = service;
  signature.timestamp = kTime;
  std::string names;
  for (const std::string& name : signature.signed_headers)
    names += (names.empty() ? "" : ";") + name;
  std::string text = "PUT " + head.path + "?" + head.query + " HTTP/1.1\r\n";
  for (const http::Field& field : head.fields) text += field.name + ": " + field.value + "\r\n";
  return text + "Authorization: AWS4-HMAC-SHA256 Credential=" + credentials.access_key + "/" +
         signature.Scope() + ", SignedHeaders=" + names + ", Signature=" +
         SignatureOf(head, signature, "UNSIGNED-PAYLOAD", CanonicalOptionsOf(service),
                     credentials.secret_key) +
         "\r\n\r\n";
}

std::variant<Verified, AuthError> VerifyText(const Verifier& verifier, const std::string& text,
                                             Milliseconds now = kNow) {
  auto head = http::ParseHead(text, http::Limits{});
  if (auto* refusal = std::get_if<http::Refusal>(&head)) {
    return AuthError{AuthFault::kIncomplete, refusal->message};
  }
  return verifier.Verify(std::get<http::RequestHead>(head), kEmptySha256, now);
}

bool Accepts(const Verifier& verifier, const std::string& text, Milliseconds now = kNow) {
  return std::holds_alternative<Verified>(VerifyText(verifier, text, now));
}

AuthFault FaultOf(const Verifier& verifier, const std::string& text, Milliseconds now = kNow) {
  return std::get<AuthError>(VerifyText(verifier, text, now)).fault;
}

TEST(Verifier, AcceptsWhatIsSigned) {
  const Verifier verifier = MakeVerifier();
  EXPECT_TRUE(Accepts(verifier, SignedRequest(kCredentials)));
  EXPECT_TRUE(Accepts(Verifier(Settings{}), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
}

// Every request that differs in one byte is refused, but for those that mean the same: another case
// of a field's name or of an escape's digits.
TEST(Verifier, RefusesTenThousandMutations) {
  const Verifier verifier = MakeVerifier();
  const std::string original = SignedRequest(kCredentials);
  auto parsed = std::get<http::RequestHead>(http::ParseHead(original, http::Limits{}));
  std::mt19937 random(1);
  int tried = 0;
  while (tried < 10'000) {
    std::string text = original;
    text[random() % text.size()] = static_cast<char>(random());
    if (text == original) continue;
    ++tried;
    if (!Accepts(verifier, text)) continue;
    auto head = std::get<http::RequestHead>(http::ParseHead(text, http::Limits{}));
    EXPECT_EQ(head.method, parsed.method);
    EXPECT_EQ(PercentDecode(head.path), PercentDecode(parsed.path)) << text;
    EXPECT_EQ(PercentDecode(head.query), PercentDecode(parsed.query)) << text;
    ASSERT_EQ(head.fields.size(), parsed.fields.size());
    for (size_t i = 0; i < head.fields.size(); ++i) {
      EXPECT_TRUE(http::EqualsIgnoreCase(head.fields[i].name, parsed.fields[i].name)) << text;
      // A tab in a blank's place, between the parts of Authorization.
      std::string value = head.fields[i].value;
      for (char& c : value) c = c == '\t' ? ' ' : c;
      EXPECT_EQ(value, parsed.fields[i].value) << text;
    }
  }
}

TEST(Verifier, SaysWhatIsWrong) {
  const Verifier verifier = MakeVerifier();
  const std::string good = SignedRequest(kCredentials);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  EXPECT_EQ(FaultOf(verifier, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), AuthFault::kMissing);
  EXPECT_EQ(FaultOf(verifier, with("AKIDEXAMPLE", "AKIDEXAMPLF")), AuthFault::kUnknownKey);
  EXPECT_EQ(FaultOf(verifier, with("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512")),
            AuthFault::kIncomplete);
  EXPECT_EQ(FaultOf(verifier, with(", Signature=", ", Signatur=")), AuthFault::kIncomplete);
  EXPECT_EQ(FaultOf(verifier, with("SignedHeaders=host;", "SignedHeaders=")), AuthFault::kMismatch);
  EXPECT_EQ(FaultOf(verifier, with("\r\n\r\n", "\r\nx-amz-acl: public-read\r\n\r\n")),
            AuthFault::kMismatch);
  constexpr Milliseconds kQuarter = 15 * 60 * 1000;
  EXPECT_TRUE(Accepts(verifier, good, kNow + kQuarter));
  EXPECT_TRUE(Accepts(verifier, good, kNow - kQuarter));
  EXPECT_EQ(FaultOf(verifier, good, kNow + kQuarter + 1000), AuthFault::kSkew);
  EXPECT_EQ(FaultOf(verifier, good, kNow - kQuarter - 1000), AuthFault::kSkew);
  Credentials with_token = kCredentials;
  with_token.session_token = "made up";
  EXPECT_EQ(FaultOf(verifier, SignedRequest(with_token)), AuthFault::kInvalidToken);
}

TEST(Verifier, SessionsWorkUntilTheyExpire) {
  const Verifier verifier = MakeVerifier();
  const Credentials session = verifier.IssueSession("me", kNow + 60'000);
  const std::string text = SignedRequest(session);
  auto verified = VerifyText(verifier, text);
  ASSERT_TRUE(std::holds_alternative<Verified>(verified));
  EXPECT_EQ(std::get<Verified>(verified).caller.session_name, "me");
  EXPECT_EQ(FaultOf(verifier, text, kNow + 61'000), AuthFault::kExpiredToken);
  // The access key of one session with the token of another.
  Credentials mixed = verifier.IssueSession("other", kNow + 60'000);
  mixed.access_key = session.access_key;
  EXPECT_EQ(FaultOf(verifier, SignedRequest(mixed)), AuthFault::kInvalidToken);
  Credentials none = session;
  none.session_token.clear();
  EXPECT_EQ(FaultOf(verifier, SignedRequest(none)), AuthFault::kInvalidToken);
  Settings other;
  other.credentials = Credentials{"AKIDEXAMPLE", "another secret"};
  EXPECT_EQ(FaultOf(Verifier(other), text), AuthFault::kInvalidToken);
}

// Amazon's own example of a signed aws-chunked upload ("Signature calculations for the
// authorization header: transferring payload in multiple chunks"): 66560 bytes of 'a' in chunks of
// 64 kB.
class SignedChunks : public testing::Test {
 protected:
  SignedChunks() {
    Signature signature;
    signature.date = "20130524";
    signature.region = "us-east-1";
    signature.service = "s3";
    options.is_signed = true;
    options.verified.signing_key =
        SigningKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", signature);
    options.verified.scope = signature.Scope();
    options.verified.timestamp = "20130524T000000Z";
    options.verified.signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    body =
        "10000;chunk-signature="
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
        std::string(65536, 'a') +
        "\r\n400;chunk-signature="
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
        std::string(1024, 'a') +
        "\r\n0;chunk-signature="
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
  }
  AwsChunkedOptions options;
  std::string body;
};

TEST_F(SignedChunks, PublishedExample) {
  for (size_t piece : {size_t{1}, size_t{7}, size_t{1000}, body.size()}) {
    AwsChunkedDecoder decoder(options);
    std::string out;
    for (size_t at = 0; at < body.size(); at += piece) {
      Done done = decoder.Feed(std::string_view(body).substr(at, piece), out);
      ASSERT_TRUE(done.ok()) << done.error().message;
    }
    EXPECT_TRUE(decoder.done());
    EXPECT_EQ(out, std::string(66560, 'a'));
  }
}

TEST_F(SignedChunks, AnAlteredByteIsSeen) {
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    std::string text = body;
    const size_t at = i % 2 ? random() % text.size() : text.size() - 1 - random() % 200;
    text[at] = static_cast<char>(text[at] ^ (1 << random() % 7));
    AwsChunkedDecoder decoder(options);
    std::string out;
    Done done = decoder.Feed(text, out);
    EXPECT_FALSE(done.ok() && decoder.done() && out == std::string(66560, 'a') && text != body &&
                 at >= 65000)
        << at;
    EXPECT_FALSE(done.ok() && decoder.done() && out != std::string(66560, 'a')) << at;
  }
}

TEST(AwsChunked, UnsignedWithATrailer) {
  const std::string body = "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n";
  AwsChunkedDecoder decoder({.has_trailer = true});
  std::string out;
  for (const char c : body) ASSERT_TRUE(decoder.Feed(std::string_view(&c, 1), out).ok());
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(out, "abc");
  ASSERT_EQ(decoder.trailers().size(), 1u);
  EXPECT_EQ(decoder.trailers()[0].value, "NSRBwg==");
}

TEST(AwsChunked, RefusesWhatIsOutsideItsGrammar) {
  for (const char* body :
       {"3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "x\r\n", "\r\n", "3 \r\nabc\r\n", "-3\r\n",
        "fffffffffffffffff\r\n", "0\r\n\r\nmore", "0\r\nname\r\n\r\n", "0\r\nx: y\r\n\r\n"}) {
    AwsChunkedDecoder decoder({.has_trailer = std::string_view(body) != "0\r\nx: y\r\n\r\n"});
    std::string out;
    EXPECT_FALSE(decoder.Feed(body, out).ok()) << body;
  }
}

}  // namespace
}  // namespace bertie::cloud
