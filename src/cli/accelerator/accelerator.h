// The parts of `bertie accelerator`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "accelerator/snapshot.h"
#include "base/status.h"
#include "cli/accelerator/access.h"
#include "cli/output.h"
#include "http/server.h"

namespace bertie::cli {

// Status as the page, `status --json` and Prometheus have it.
OrderedJson StatusJson(const accelerator::Snapshot& snapshot);
std::string StatusTable(const accelerator::Snapshot& snapshot);
std::string StatusMetrics(const accelerator::Snapshot& snapshot);

// GET / (a page with a chart), /status.json and /metrics.
class StatusPage {
 public:
  using Read = std::function<accelerator::Snapshot()>;
  // http::Server::Listen's errors.
  static Result<std::unique_ptr<StatusPage>> Listen(const Address& address, Read read);
  ~StatusPage();
  std::string address() const;

 private:
  struct Impl;
  explicit StatusPage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

void AddAcceleratorStatus(CLI::App& accelerator, int& exit_code);

}  // namespace bertie::cli
