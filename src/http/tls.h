// TLS 1.2 and 1.3 for servers, by OpenSSL.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/status.h"

namespace bertie::http {

// Who a server says it is: a certificate chain and the key of its first certificate. Any thread.
class TlsIdentity {
 public:
  // Texts in PEM: the server's certificate first, then those between it and an authority; a private
  // key without a pass phrase. where: the names of both, for errors. kInvalidArgument for what is
  // none of that, or does not belong together.
  static Result<std::shared_ptr<const TlsIdentity>> FromPem(const std::string& chain,
                                                            const std::string& key,
                                                            const std::string& where);
  // FromPem's and ReadFile's errors.
  static Result<std::shared_ptr<const TlsIdentity>> FromFiles(const std::filesystem::path& chain,
                                                              const std::filesystem::path& key);
  ~TlsIdentity();
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;

 private:
  friend class TlsSession;
  explicit TlsIdentity(SSL_CTX* context) : context_(context) {}

  SSL_CTX* context_;
};

// The identity that a server shows to new clients. Any thread.
class TlsHolder {
 public:
  explicit TlsHolder(std::shared_ptr<const TlsIdentity> identity)
      : identity_(std::move(identity)) {}

  std::shared_ptr<const TlsIdentity> Get() const {
    std::lock_guard lock(mutex_);
    return identity_;
  }
  void Set(std::shared_ptr<const TlsIdentity> identity) {
    std::lock_guard lock(mutex_);
    identity_ = std::move(identity);
  }

 private:
  mutable std::mutex mutex_;  // guards identity_
  std::shared_ptr<const TlsIdentity> identity_;
};

// What a call that cannot block came to.
enum class TlsStep {
  kDone,
  kWantRead,   // again once the socket can be read
  kWantWrite,  // again once it can be written
  kEnd,        // the client has ended its side
  kPlain,      // of a handshake: the client speaks HTTP without TLS
  kFailed,     // the connection is good for nothing more
};

// The server's end of one connection, over a socket that does not block. The thread must have
// SIGPIPE blocked or ignored. One thread at a time.
class TlsSession {
 public:
  TlsSession(const TlsIdentity& identity, int socket);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  TlsStep Handshake();
  // Fills `to` as far as there is something; kDone with at least one byte in got.
  TlsStep Read(char* to, size_t size, size_t& got);
  // kDone with at least one byte in put. After kWantRead and kWantWrite the same bytes must come
  // first in the next call.
  TlsStep Write(const char* bytes, size_t size, size_t& put);
  // Tells the client that nothing more comes, as far as that goes without waiting.
  void End();

  // False once Read has found nothing more: then only the socket can bring it.
  bool may_have_more() const { return may_have_more_; }

 private:
  TlsStep StepOf(int outcome);

  SSL* ssl_;
  bool may_have_more_ = true;
};

}  // namespace bertie::http
