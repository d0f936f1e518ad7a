#include "cli/tls_files.h"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "cli/service.h"

namespace bertie::cli {
namespace {

// How long the end of the program may wait for this thread.
constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};

sigset_t Hangup() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGHUP);
  return signals;
}

}  // namespace

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

TlsFiles::TlsFiles(TlsFlags flags, std::shared_ptr<http::TlsHolder> identity)
    : flags_(std::move(flags)), identity_(std::move(identity)) {
  // The thread leaves every signal but this one to others.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
  sigaddset(&before, SIGHUP);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void TlsFiles::Watch(const std::stop_token& stop) {
  const sigset_t signals = Hangup();
  while (!stop.stop_requested()) {
    if (sigtimedwait(&signals, nullptr, &kLook) < 0) continue;
    auto identity = http::TlsIdentity::FromFiles(flags_.certificate, flags_.key);
    if (identity.ok()) {
      identity_->Set(*std::move(identity));
      Log("new connections are served with the certificate that is in " + flags_.certificate);
    } else {
      Log("the certificate stays as it was: " + identity.error().message);
    }
  }
}

}  // namespace bertie::cli
