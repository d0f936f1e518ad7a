#include "http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <new>
#include <utility>

#include "base/file.h"

namespace bertie::http {
namespace {

constexpr uint64_t kMaxPem = uint64_t{1} << 20;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio BioOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

Certificate ReadCertificate(BIO* from) {
  return {PEM_read_bio_X509(from, nullptr, nullptr, nullptr), X509_free};
}

// A key with a pass phrase is none: nobody is there to be asked.
int NoPassPhrase(char*, int, int, void*) { return -1; }

Error Bad(const std::string& where, const std::string& what) {
  ERR_clear_error();
  return {ErrorCode::kInvalidArgument, where + ": " + what};
}

void SetUp(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A connection that is cut short is noticed by HTTP, whose messages say how long they are.
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  // Sessions are taken up again by tickets, which cost the server no memory.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

}  // namespace

Result<std::shared_ptr<const TlsIdentity>> TlsIdentity::FromPem(const std::string& chain,
                                                                const std::string& key,
                                                                const std::string& where) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return Error{ErrorCode::kResourceExhausted, "no memory for TLS"};
  std::shared_ptr<const TlsIdentity> identity(new TlsIdentity(context));
  SetUp(context);
  const Bio certificates = BioOf(chain);
  const Certificate first = ReadCertificate(certificates.get());
  if (!first) return Bad(where, "expected a certificate in PEM (-----BEGIN CERTIFICATE-----)");
  if (SSL_CTX_use_certificate(context, first.get()) != 1) {
    return Bad(where,
               "its first certificate's key is of a kind, or a size, that TLS does not take");
  }
  while (Certificate next = ReadCertificate(certificates.get())) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) {
      return Bad(where, "a certificate after the first cannot be used");
    }
  }
  const Bio key_text = BioOf(key);
  const Key private_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, NoPassPhrase, nullptr),
                        EVP_PKEY_free);
  if (!private_key) {
    return Bad(where, "expected a private key in PEM, without a pass phrase");
  }
  if (SSL_CTX_use_PrivateKey(context, private_key.get()) != 1) {
    return Bad(where, "the private key does not belong to the first certificate");
  }
  ERR_clear_error();
  return identity;
}

Result<std::shared_ptr<const TlsIdentity>> TlsIdentity::FromFiles(
    const std::filesystem::path& chain, const std::filesystem::path& key) {
  BERTIE_ASSIGN_OR_RETURN(const std::string chain_text, ReadFile(chain, kMaxPem));
  BERTIE_ASSIGN_OR_RETURN(const std::string key_text, ReadFile(key, kMaxPem));
  return FromPem(chain_text, key_text, chain.string() + " and " + key.string());
}

TlsIdentity::~TlsIdentity() { SSL_CTX_free(context_); }

TlsSession::TlsSession(const TlsIdentity& identity, int socket) : ssl_(SSL_new(identity.context_)) {
  if (ssl_ == nullptr || SSL_set_fd(ssl_, socket) != 1) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  SSL_set_accept_state(ssl_);
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

TlsStep TlsSession::StepOf(int outcome) {
  if (outcome > 0) return TlsStep::kDone;
  const int error = SSL_get_error(ssl_, outcome);
  const unsigned long reason = ERR_peek_error();
  ERR_clear_error();
  switch (error) {
    case SSL_ERROR_WANT_READ:
      return TlsStep::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return TlsStep::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return TlsStep::kEnd;
    default:
      return ERR_GET_REASON(reason) == SSL_R_HTTP_REQUEST ? TlsStep::kPlain : TlsStep::kFailed;
  }
}

TlsStep TlsSession::Handshake() {
  ERR_clear_error();
  return StepOf(SSL_do_handshake(ssl_));
}

TlsStep TlsSession::Read(char* to, size_t size, size_t& got) {
  got = 0;
  TlsStep step = TlsStep::kDone;
  // A record holds 16 kB at most.
  while (got < size && step == TlsStep::kDone) {
    size_t more = 0;
    ERR_clear_error();
    step = StepOf(SSL_read_ex(ssl_, to + got, size - got, &more));
    got += more;
  }
  may_have_more_ = step != TlsStep::kWantRead;
  // What ended the reading is met again by the next call.
  return got > 0 ? TlsStep::kDone : step;
}

TlsStep TlsSession::Write(const char* bytes, size_t size, size_t& put) {
  put = 0;
  ERR_clear_error();
  return StepOf(SSL_write_ex(ssl_, bytes, size, &put));
}

void TlsSession::End() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_) != 0) SSL_shutdown(ssl_);
  ERR_clear_error();
}

}  // namespace bertie::http
