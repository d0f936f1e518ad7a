#include "cli/tls_files.h"

#include <utility>

#include "cli/service.h"

namespace bertie::cli {
void AddTlsFlags(CLI::App& command, TlsFlags& flags) {
  CLI::Option* certificate =
      command
          .add_option("--tls-cert", flags.certificate,
                      "Speak HTTPS with this certificate, PEM: the server's first, then those "
                      "between it and an authority; SIGHUP reads both files again")
          ->check(CLI::ExistingFile);
  CLI::Option* key =
      command.add_option("--tls-key", flags.key, "The certificate's private key, PEM")
          ->check(CLI::ExistingFile);
  certificate->needs(key);
  key->needs(certificate);
}

Result<std::unique_ptr<TlsFiles>> TlsFiles::Load(const TlsFlags& flags) {
  if (!flags.given()) return std::unique_ptr<TlsFiles>();
  BERTIE_ASSIGN_OR_RETURN(auto identity,
                          http::TlsIdentity::FromFiles(flags.certificate, flags.key));
  return std::unique_ptr<TlsFiles>(
      new TlsFiles(flags, std::make_shared<http::TlsHolder>(std::move(identity))));
}

void TlsFiles::Reload() {
  auto identity = http::TlsIdentity::FromFiles(flags_.certificate, flags_.key);
  if (identity.ok()) {
    identity_->Set(*std::move(identity));
    Log("new connections are served with the certificate that is in " + flags_.certificate);
  } else {
    Log("the certificate stays as it was: " + identity.error().message);
  }
}

}  // namespace bertie::cli
