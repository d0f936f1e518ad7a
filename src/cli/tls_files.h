// A server's certificate from files, which may be replaced while it runs.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "http/tls.h"

namespace bertie::cli {

struct TlsFlags {
  std::string certificate, key;  // both or neither
  bool given() const { return !certificate.empty(); }
};

void AddTlsFlags(CLI::App& command, TlsFlags& flags);

// One thread at a time; connections take what identity() holds from any.
class TlsFiles {
 public:
  // Null where the flags name no files.
  static Result<std::unique_ptr<TlsFiles>> Load(const TlsFlags& flags);

  const std::shared_ptr<http::TlsHolder>& identity() const { return identity_; }

  // Reads the files again. What cannot be used is said on the log and changes nothing.
  void Reload();

 private:
  TlsFiles(TlsFlags flags, std::shared_ptr<http::TlsHolder> identity)
      : flags_(std::move(flags)), identity_(std::move(identity)) {}

  TlsFlags flags_;
  std::shared_ptr<http::TlsHolder> identity_;
};

}  // namespace bertie::cli
