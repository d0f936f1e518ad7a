// What a hub says of its models (the HTTP interface of huggingface.co and its mirrors).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "hub/settings.h"
#include "hub/transfer.h"

namespace bertie::hub {

struct ModelListing {
  std::string commit;              // 40 hexadecimal digits
  std::vector<std::string> files;  // with "/" where they are in folders
};

struct RemoteFile {
  std::string name;
  std::string etag;  // fit for a file's name: SHA-256 of a large file, git's SHA-1 of a small one
  int64_t size = 0;
};

// One thread at a time. What passes by itself (a rate limit of at most a minute, a broken
// connection, a server that is overloaded) is waited for and tried again, up to five times. Errors
// name the model and say what to do: kNotFound (no such model, revision or file), kInvalidArgument
// (a token that is refused, a model that is gated), kUnavailable (no network, a rate limit, a
// server that fails), kInvalidData (an answer that is none of a hub).
class Hub {
 public:
  using Say = std::function<void(const std::string& line)>;  // of what is waited for

  Hub(const Settings& settings, std::string id, Say say);

  Result<ModelListing> List(const std::string& revision);
  Result<RemoteFile> Find(const std::string& commit, const std::string& file);

  // The file's bytes from `from` on, to the sink, in one attempt: the caller knows what arrived and
  // asks again. attempt: how many before this one brought nothing new. retry: whether another has a
  // chance (connection broken, server overloaded), after a wait that this call has done already. An
  // answer with all bytes despite `from` is for the sink to see (its status is 200 and not 206).
  Status Fetch(const std::string& commit, const std::string& file, int64_t from, const Sink& sink,
               int attempt, bool& retry);

  const std::string& id() const { return id_; }

 private:
  std::string FileUrl(const std::string& commit, const std::string& file) const;
  Result<Answer> Ask(const Request& request, const std::string& what);
  Error ToError(const Answer& answer, const std::string& what) const;
  Error NotReached(const Error& error) const;
  bool PauseFor(const Answer& answer, int attempt);

  Settings settings_;
  std::string id_;
  Say say_;
  Transfer transfer_;
  bool reached_ = false;  // the hub has answered
};

}  // namespace bertie::hub
