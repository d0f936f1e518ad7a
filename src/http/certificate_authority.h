// A certificate authority of one's own, for servers on this machine whose clients are told to trust
// it.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/tls.h"

namespace bertie::http {

// Any thread.
class CertificateAuthority {
 public:
  // FOLDER/ca.pem, for clients, and FOLDER/ca.key, readable by its owner alone; both are made when
  // neither is there, and then kept. name: the certificate's. kInvalidData for files that are no
  // pair or have expired; kIo.
  static Result<std::unique_ptr<CertificateAuthority>> Open(const std::filesystem::path& folder,
                                                            const std::string& name);

  // A certificate for these host names and IP addresses, at least one, valid for a year, and its
  // key. Made in well under a millisecond, or taken from those of the last day.
  Result<std::shared_ptr<const TlsIdentity>> Issue(const std::vector<std::string>& hosts);

  const std::filesystem::path& certificate_file() const { return file_; }

 private:
  using Key = std::shared_ptr<EVP_PKEY>;
  using Certificate = std::shared_ptr<X509>;
  struct Issued {
    std::shared_ptr<const TlsIdentity> identity;
    std::chrono::steady_clock::time_point at;
  };

  CertificateAuthority(std::filesystem::path file, Certificate certificate, Key key, Key server_key)
      : file_(std::move(file)),
        certificate_(std::move(certificate)),
        key_(std::move(key)),
        server_key_(std::move(server_key)) {}
  static Status Make(const std::filesystem::path& folder, const std::string& name);

  std::filesystem::path file_;
  Certificate certificate_;
  Key key_;
  Key server_key_;    // of all that are issued
  std::mutex mutex_;  // guards issued_
  std::map<std::vector<std::string>, Issued> issued_;
};

}  // namespace bertie::http
