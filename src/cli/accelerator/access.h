// Where an accelerator is, and what its clients show it: what the flags of `accelerator`, of its
// `status` and of `serve` say.
#pragma once

#include <cstdint>
#include <string>

#include "accelerator/connection.h"
#include "base/status.h"

namespace bertie::cli {

// "HOST:PORT" or "[V6]:PORT".
struct Address {
  std::string host;
  uint16_t port = 0;
};
Result<Address> ParseAddress(const std::string& text);

// --token-file's content, without the white space around it, or the variable
// BERTIE_ACCELERATOR_TOKEN; "" where neither is given. kInvalidData: an empty file, or bytes that
// no header may hold.
Result<std::string> ReadToken(const std::string& file);

// A client's; files that are named are read as PEM, but the token's.
struct AccessFlags {
  bool tls = false;  // also on where there is an authority or a certificate
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::string token_file;
};

// prefix: what stands before "tls-cert" in the flags' names, "--" or "--accelerator-". Errors:
// kInvalidArgument for a certificate without a key or the reverse; those of reading; ReadToken's.
Result<accelerator::Security> ReadSecurity(const AccessFlags& flags, const std::string& prefix);

}  // namespace bertie::cli
