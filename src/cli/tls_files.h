// A server's certificate from files, which may be replaced while it runs.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "base/status.h"
#include "http/tls.h"

namespace bertie::cli {

struct TlsFlags {
  std::string certificate, key;  // both or neither
  bool given() const { return !certificate.empty(); }
};

void AddTlsFlags(CLI::App& command, TlsFlags& flags);

// Reads the files again on each SIGHUP; what cannot be used is said on the log and changes nothing.
class TlsFiles {
 public:
  // Before any other thread starts, StopSignal's too, so that all of them leave the signal to this
  // one. Null where the flags name no files.
  static Result<std::unique_ptr<TlsFiles>> Load(const TlsFlags& flags);

  const std::shared_ptr<http::TlsHolder>& identity() const { return identity_; }

 private:
  TlsFiles(TlsFlags flags, std::shared_ptr<http::TlsHolder> identity);
  void Watch(const std::stop_token& stop);

  TlsFlags flags_;
  std::shared_ptr<http::TlsHolder> identity_;
  std::jthread thread_;
};

}  // namespace bertie::cli
