// Models on disk, each under its content hash, and their arrival.
//
// DIR/HASH/ holds the files of a model and ".manifest", the lines whose SHA-256 is HASH; a file
// that is still arriving is ".part-NAME". A file gets its name when its hash fits and it is synced,
// so what has a name is whole, whatever killed the process.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerator/manifest.h"
#include "base/status.h"

namespace bertie::accelerator {

struct StoredFile {
  std::string name;
  uint64_t received = 0;  // bytes that are there
  bool complete = false;  // all of them, and the hash fits
};

struct StoredModel {
  bool complete = false;
  std::vector<StoredFile> files;  // in the manifest's order
};

struct ModelStoreOptions {
  std::filesystem::path dir;                // made where it is missing
  uint64_t max_bytes = uint64_t{20} << 30;  // of all models together
};

// Any thread. Outlives its uploads and pins.
class ModelStore {
 public:
  // One file on its way in. Destroyed before its end, it keeps what arrived. One thread at a time.
  class Upload {
   public:
    ~Upload();
    Upload(const Upload&) = delete;
    Upload& operator=(const Upload&) = delete;

    // Appends. kInvalidData: more than the file's size. kResourceExhausted: the disk is full; what
    // had arrived before stays.
    Status Write(std::string_view bytes);

    // What is there now. When that is the whole file, its hash is checked: kInvalidData, and the
    // file is forgotten, when it does not fit.
    Result<StoredFile> Finish();

   private:
    friend class ModelStore;
    struct State;
    explicit Upload(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  // Keeps a model from being removed.
  class Pin {
   public:
    Pin(ModelStore& store, std::string hash) : store_(store), hash_(std::move(hash)) {}
    ~Pin() { store_.Unpin(hash_); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

    std::filesystem::path dir() const { return store_.options_.dir / hash_; }

   private:
    ModelStore& store_;
    const std::string hash_;
  };

  // Removes what has no place in a store. kUnavailable when another process has this store open.
  static Result<std::unique_ptr<ModelStore>> Open(ModelStoreOptions options);
  ~ModelStore();

  // What is there of a model, whose place is made where it had none: for that, models that nobody
  // holds go, the one unused longest first. Errors: CheckManifest's; kResourceExhausted when the
  // store or the disk has no room.
  Result<StoredModel> Find(const ModelManifest& manifest);

  // kNotFound: no place was made for the model, or it has no such file. kInvalidArgument: the
  // offset is not what arrived so far (the message says what is), or the file is complete.
  // kUnavailable: somebody else is sending the file.
  Result<std::unique_ptr<Upload>> BeginUpload(const std::string& content_hash,
                                              const std::string& name, uint64_t offset);

  // A model to open. Every file is read and its hash checked: one that has rotted is removed, and
  // the error (kInvalidData) says so. kNotFound when the model is not complete.
  Result<std::unique_ptr<Pin>> Acquire(const std::string& content_hash);

  const std::filesystem::path& dir() const { return options_.dir; }

 private:
  friend class Upload;
  struct Lock;

  explicit ModelStore(ModelStoreOptions options);
  Result<ModelManifest> ReadManifest(const std::string& hash) const;
  Status MakeRoom(const ModelManifest& manifest);
  uint64_t BytesMissing(const ModelManifest& manifest) const;
  void Sweep();
  void Unpin(const std::string& hash);

  const ModelStoreOptions options_;
  std::unique_ptr<Lock> lock_;
  std::mutex mutex_;                 // guards all below, and which folders there are
  std::map<std::string, int> pins_;  // uploads count
  std::set<std::filesystem::path> arriving_;
};

}  // namespace bertie::accelerator
