// The parts of `bertie accelerator`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "accelerator/snapshot.h"
#include "base/status.h"
#include "cli/output.h"
#include "http/server.h"

namespace bertie::cli {

// "HOST:PORT" or "[V6]:PORT".
struct Address {
  std::string host;
  uint16_t port = 0;
};
Result<Address> ParseAddress(const std::string& text);
bool IsLoopback(const std::string& host);

// --token-file's content, without the white space around it, or the variable
// BERTIE_ACCELERATOR_TOKEN; "" where neither is given. kInvalidData: an empty file, or bytes that
// no header may hold.
Result<std::string> ReadToken(const std::string& file);

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
