#include "cli/accelerator/access.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/file.h"
#include "base/quote.h"

namespace bertie::cli {
namespace {

constexpr const char* kTokenVariable = "BERTIE_ACCELERATOR_TOKEN";
constexpr uint64_t kMaxTokenBytes = 4096;
constexpr uint64_t kMaxPemBytes = 1 << 20;

Result<std::string> ReadPem(const std::string& path) {
  if (path.empty()) return std::string();
  return ReadFile(path, kMaxPemBytes);
}

}  // namespace

Result<Address> ParseAddress(const std::string& text) {
  const Error bad{ErrorCode::kInvalidArgument,
                  "found the address " + Quote(text) + "; expected HOST:PORT"};
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return bad;
  Address address;
  address.host = text.substr(0, colon);
  const char* end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || after != end) return bad;
  if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return bad;
  }
  return address;
}

Result<std::string> ReadToken(const std::string& file) {
  std::string token;
  if (file.empty()) {
    const char* value = std::getenv(kTokenVariable);
    if (value == nullptr || *value == '\0') return token;
    token = value;
  } else {
    BERTIE_ASSIGN_OR_RETURN(token, ReadFile(file, kMaxTokenBytes));
  }
  const std::string where = file.empty() ? kTokenVariable : file;
  const size_t begin = token.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return Error{ErrorCode::kInvalidData, where + ": found no token"};
  token = token.substr(begin, token.find_last_not_of(" \t\r\n") - begin + 1);
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) {
    return Error{ErrorCode::kInvalidData,
                 where + ": found blanks, control bytes or bytes outside ASCII within the token"};
  }
  return token;
}

Result<accelerator::Security> ReadSecurity(const AccessFlags& flags, const std::string& prefix) {
  if (flags.tls_cert.empty() != flags.tls_key.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 prefix + "tls-cert and " + prefix + "tls-key belong together"};
  }
  accelerator::Security security;
  security.tls = flags.tls || !flags.tls_ca.empty() || !flags.tls_cert.empty();
  BERTIE_ASSIGN_OR_RETURN(security.ca, ReadPem(flags.tls_ca));
  BERTIE_ASSIGN_OR_RETURN(security.cert, ReadPem(flags.tls_cert));
  BERTIE_ASSIGN_OR_RETURN(security.key, ReadPem(flags.tls_key));
  BERTIE_ASSIGN_OR_RETURN(security.token, ReadToken(flags.token_file));
  return security;
}

}  // namespace bertie::cli
