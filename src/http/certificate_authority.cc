#include "http/certificate_authority.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/directory.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/hmac.h"
#include "base/private_file.h"

namespace bertie::http {
namespace {

namespace fs = std::filesystem;

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxAuthorityFile = uint64_t{1} << 20;
constexpr long kDay = 24 * 60 * 60;
constexpr long kAuthorityDays = 3650;
// Some clients take none that is valid for longer than 398 days.
constexpr long kServerDays = 397;
// A clock that is a little behind must not make a fresh certificate one of the future.
constexpr long kBackdate = kDay;
constexpr std::chrono::hours kReuse{24};
constexpr size_t kMaxIssued = 1024;

Error Failed(const std::string& what) {
  ERR_clear_error();
  return {ErrorCode::kIo, "OpenSSL cannot " + what};
}

Key MakeKey() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

std::string TextOf(const std::shared_ptr<BIO>& bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const std::shared_ptr<BIO> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(bio.get(), certificate);
  return TextOf(bio);
}

std::string PemOf(EVP_PKEY* key) {
  const std::shared_ptr<BIO> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio);
}

// The value is in the language of OpenSSL's configuration files.
bool Extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// Version 3, with a serial number of its own, not signed yet.
Certificate Begin(const std::string& name, EVP_PKEY* key, long days) {
  Certificate certificate(X509_new(), X509_free);
  X509* it = certificate.get();
  const Digest256 random = RandomBytes32();
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(random.data()), 16, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(it));
  BN_free(number);
  X509_set_version(it, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(it), -kBackdate);
  X509_gmtime_adj(X509_getm_notAfter(it), days * kDay);
  X509_set_pubkey(it, key);
  // A name in a certificate has 64 characters at most; who it is for stands in an extension.
  X509_NAME_add_entry_by_NID(X509_get_subject_name(it), NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(std::min<size_t>(name.size(), 64)), -1, 0);
  return certificate;
}

// Letters, digits and what else stands in host names; so that none of them says more than a name to
// Extend.
bool IsHost(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '*' || c == ':';
  });
}

bool IsAddress(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::optional<std::string> AlternativeNames(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    const bool address = IsAddress(host);
    if (!IsHost(host) || (!address && host.find(':') != host.npos)) return std::nullopt;
    names += (names.empty() ? "" : ",") + std::string(address ? "IP:" : "DNS:") + host;
  }
  return names.empty() ? std::nullopt : std::optional(names);
}

}  // namespace

Status CertificateAuthority::Make(const fs::path& folder, const std::string& name) {
  const Key key = MakeKey();
  if (!key) return Failed("make a key");
  const Certificate certificate = Begin(name, key.get(), kAuthorityDays);
  X509* it = certificate.get();
  X509_set_issuer_name(it, X509_get_subject_name(it));
  const bool made = Extend(it, it, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    Extend(it, it, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    Extend(it, it, NID_subject_key_identifier, "hash") &&
                    X509_sign(it, key.get(), EVP_sha256()) > 0;
  if (!made) return Failed("make a certificate");
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
  // The key first: a certificate without one is refused below, a key without one is made again.
  BERTIE_RETURN_IF_ERROR(WritePrivateFile(folder / "ca.key", PemOf(key.get())));
  return WriteFileAtomically(folder / "ca.pem", PemOf(it));
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::Open(const fs::path& folder,
                                                                         const std::string& name) {
  const fs::path file = folder / "ca.pem";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) BERTIE_RETURN_IF_ERROR(Make(folder, name));
  BERTIE_ASSIGN_OR_RETURN(const std::string chain, ReadFile(file, kMaxAuthorityFile));
  BERTIE_ASSIGN_OR_RETURN(const std::string key_text,
                          ReadFile(folder / "ca.key", kMaxAuthorityFile));
  const std::shared_ptr<BIO> chain_bio(
      BIO_new_mem_buf(chain.data(), static_cast<int>(chain.size())), BIO_free);
  const std::shared_ptr<BIO> key_bio(
      BIO_new_mem_buf(key_text.data(), static_cast<int>(key_text.size())), BIO_free);
  const Certificate certificate(PEM_read_bio_X509(chain_bio.get(), nullptr, nullptr, nullptr),
                                X509_free);
  const Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  const bool pair = certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
  const bool valid = pair && X509_cmp_current_time(X509_get0_notAfter(certificate.get())) > 0;
  ERR_clear_error();
  if (!valid) {
    return Error{ErrorCode::kInvalidData,
                 file.string() + " and ca.key beside it: " +
                     (pair ? "the certificate has expired"
                           : "expected a certificate and its private key, in PEM") +
                     "; remove both, and others are made (clients must then be told to trust "
                     "those)"};
  }
  Key server_key = MakeKey();
  if (!server_key) return Failed("make a key");
  return std::unique_ptr<CertificateAuthority>(
      new CertificateAuthority(file, certificate, key, std::move(server_key)));
}

Result<std::shared_ptr<const TlsIdentity>> CertificateAuthority::Issue(
    const std::vector<std::string>& hosts) {
  const auto now = Clock::now();
  std::lock_guard lock(mutex_);
  const auto found = issued_.find(hosts);
  if (found != issued_.end() && now - found->second.at < kReuse) return found->second.identity;
  const auto names = AlternativeNames(hosts);
  if (!names) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected host names or IP addresses for a certificate"};
  }
  const Certificate certificate = Begin(hosts.front(), server_key_.get(), kServerDays);
  X509* it = certificate.get();
  X509* issuer = certificate_.get();
  X509_set_issuer_name(it, X509_get_subject_name(issuer));
  const bool made = Extend(it, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
                    Extend(it, issuer, NID_key_usage, "critical,digitalSignature") &&
                    Extend(it, issuer, NID_ext_key_usage, "serverAuth") &&
                    Extend(it, issuer, NID_subject_key_identifier, "hash") &&
                    Extend(it, issuer, NID_authority_key_identifier, "keyid:always") &&
                    Extend(it, issuer, NID_subject_alt_name, *names) &&
                    X509_sign(it, key_.get(), EVP_sha256()) > 0;
  if (!made) return Failed("make a certificate for " + hosts.front());
  BERTIE_ASSIGN_OR_RETURN(auto identity,
                          TlsIdentity::FromPem(PemOf(it), PemOf(server_key_.get()), hosts.front()));
  // Hosts are what clients name; only so many are remembered.
  if (issued_.size() >= kMaxIssued) issued_.clear();
  issued_[hosts] = {identity, now};
  return identity;
}

}  // namespace bertie::http
