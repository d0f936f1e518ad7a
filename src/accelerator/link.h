// Keeps an endpoint attached to one accelerator: connects, uploads, attaches, and does so again
// whenever the session has ended.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "accelerator/connection.h"
#include "accelerator/manifest.h"
#include "accelerator/remote_session.h"
#include "base/status.h"

namespace bertie::accelerator {

struct LinkOptions {
  std::string address;
  Security security;
  AttachOptions attach;
  ModelManifest manifest;
  std::filesystem::path model_dir;  // there as long as the link
  // What the accelerator must have found in the model.
  int64_t num_labels = 0;
  int64_t vocab_size = 0;
  std::chrono::milliseconds probe_interval{1000};
  std::chrono::milliseconds attach_timeout{60'000};  // it loads the model meanwhile
  std::function<void(std::string_view)> log;         // one line
};

struct LinkAttached {
  std::shared_ptr<RemoteSession> session;  // to be let go of in on_detached
  AttachedModel model;
};

// Called by the link's threads; must not block. Of the link's members only Probe may be called from
// them.
struct LinkEvents {
  std::function<void()> on_attaching;
  std::function<void(const LinkAttached&)> on_attached;
  std::function<void(const Error&)> on_attach_failed;  // at the first failure of each series
  std::function<void(RemoteReply)> on_reply;
  std::function<void(const Error&)> on_lost;  // no more replies will come
  std::function<void()> on_detached;          // the session is to be given back
  std::function<void()> on_probe_answered;
  std::function<void(uint64_t)> on_uploaded;  // bytes sent
};

class Link {
 public:
  Link(LinkOptions options, LinkEvents events);
  ~Link();  // ends the session
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Asks the accelerator for a sign of life after `wait`, and again until it answers or the session
  // ends. Any thread.
  void Probe(std::chrono::milliseconds wait);

 private:
  void Loop();
  Result<Connection::Attached> Attach(Connection& connection);
  Status CheckModel(const AttachedModel& model) const;
  void LogAttached(const AttachedModel& model, uint64_t sent, double seconds) const;
  void Serve(Connection& connection, Connection::Attached attached);
  bool Sleep(std::chrono::milliseconds time);

  const LinkOptions options_;
  const LinkEvents events_;
  std::mutex mutex_;  // guards all below but the thread
  std::condition_variable wake_;
  Connection* connection_ = nullptr;  // for the destructor, to stop what is under way
  bool stop_ = false;
  bool lost_ = false;
  std::chrono::steady_clock::time_point probe_at_ = std::chrono::steady_clock::time_point::max();
  std::chrono::milliseconds probe_wait_{0};
  std::thread thread_;
};

}  // namespace bertie::accelerator
