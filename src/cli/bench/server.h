// `bertie serve` as a child process, for what is measured over HTTP.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "http/client.h"

namespace bertie::cli {

// Ends with the object, or with this process. One thread at a time.
class ServerProcess {
 public:
  // Starts this very program as `serve ARGUMENTS... --port 0` and waits until it has loaded its
  // model. An error holds what it wrote where it ended instead.
  static Result<std::unique_ptr<ServerProcess>> Start(const std::vector<std::string>& arguments);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Of /invocations.
  const http::Url& url() const { return url_; }

 private:
  ServerProcess(pid_t process, int log) : process_(process), log_(log) {}
  Status WaitUntilReady();

  pid_t process_;
  int log_;  // the child's stderr
  http::Url url_;
  std::thread reader_;  // keeps the child's log from filling up
};

}  // namespace bertie::cli
