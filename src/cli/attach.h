// The flags of 'serve' that have an accelerator compute, and what they make.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/accelerator/access.h"
#include "serve/model_server.h"

namespace bertie::cli {

struct AttachFlags {
  std::vector<std::string> addresses;
  std::string type = "ml.eia2.xlarge";
  bool fallback = true;
  AccessFlags access;
};

// Registers them under the heading "Accelerator". flags must outlive the parsing.
void AddAttachFlags(CLI::App& command, AttachFlags& flags);

class Attachment {
 public:
  // An empty pointer where no accelerator was asked for. port: the server's, for the accelerator's
  // status. Errors: addresses that are none, files that cannot be read.
  static Result<std::unique_ptr<Attachment>> Make(const AttachFlags& flags,
                                                  const std::string& precision, uint16_t port);
  ~Attachment();

  // Has the server attach when it loads a model, and show it in /metrics. The attachment must
  // outlive the server.
  void Use(serve::ModelServerOptions& options);

 private:
  struct Impl;
  explicit Attachment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::cli
