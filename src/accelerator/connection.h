// The client's end of the accelerator's protocol (accelerator.proto): one channel to one address.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accelerator/manifest.h"
#include "accelerator/remote_session.h"
#include "base/status.h"

namespace bertie::accelerator {

struct Security {
  bool tls = false;
  std::string ca;    // PEM; empty: the system's authorities
  std::string cert;  // PEM of this end, for mutual TLS; with its key, or both empty
  std::string key;
  std::string token;  // empty: none is sent
};

struct RemoteFile {
  std::string name;
  uint64_t received = 0;
  bool complete = false;
};

struct RemoteModel {
  bool complete = false;
  std::vector<RemoteFile> files;  // in the manifest's order
};

// Errors name the address. kUnavailable, kDeadlineExceeded and kCancelled: the accelerator may do
// it another time. Others are its refusals, and say what to do.
//
// The calls block, one at a time; Stop ends them from another thread. It must outlive its sessions.
class Connection {
 public:
  // address: "HOST:PORT". Connects at the first call.
  Connection(std::string address, Security security);
  ~Connection();

  Result<RemoteModel> FindModel(const ModelManifest& manifest, std::chrono::milliseconds timeout);

  // Sends manifest.files[index] from `offset` on. on_bytes hears how many more have been sent, and
  // may return false to stop. The file's new state: complete only when its hash fits.
  Result<RemoteFile> Upload(const ModelManifest& manifest, size_t index,
                            const std::filesystem::path& model_dir, uint64_t offset,
                            const std::function<void(uint64_t)>& on_bytes);

  struct Attached {
    std::unique_ptr<RemoteSession> session;
    AttachedModel model;
  };
  // on_end is called for each session that was made, perhaps before this returns.
  Result<Attached> Attach(const AttachOptions& request, SessionEvents events,
                          std::chrono::milliseconds timeout);

  // Whatever is under way ends with kCancelled, and so does whatever follows. Any thread.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether the error is one of those that pass by themselves.
bool IsPassing(const Error& error);

}  // namespace bertie::accelerator
