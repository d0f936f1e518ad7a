#include "accelerator/server_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <string>
#include <string_view>

#include "base/file.h"

namespace bertie::accelerator {
namespace {

constexpr uint64_t kMaxPemBytes = 1 << 20;
constexpr unsigned kCertificateSeconds = 1;  // between two looks at the files

Status CheckPem(const std::string& path, std::string_view what) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxPemBytes));
  if (text.find("-----BEGIN " + std::string(what)) != std::string::npos ||
      (what == "PRIVATE KEY" && text.find(" PRIVATE KEY-----") != std::string::npos)) {
    return {};
  }
  return Error{ErrorCode::kInvalidData,
               path + ": found no \"-----BEGIN " + std::string(what) + "-----\"; expected PEM"};
}

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const GrpcServerOptions& options) {
  namespace tls = grpc::experimental;
  if (options.tls_certificate.empty()) return grpc::InsecureServerCredentials();
  BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_certificate, "CERTIFICATE"));
  BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_key, "PRIVATE KEY"));
  const bool mutual = !options.tls_client_ca.empty();
  if (mutual) BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_client_ca, "CERTIFICATE"));
  auto files = std::make_shared<tls::FileWatcherCertificateProvider>(
      options.tls_key, options.tls_certificate, options.tls_client_ca, kCertificateSeconds);
  tls::TlsServerCredentialsOptions made(files);
  made.watch_identity_key_cert_pairs();
  if (mutual) made.watch_root_certs();
  made.set_cert_request_type(mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return tls::TlsServerCredentials(made);
}

}  // namespace bertie::accelerator
