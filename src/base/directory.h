// Folders made, folders that vanish by themselves, and folders replaced as a whole.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"

namespace bertie {

// A new folder of a unique name, readable by its owner alone, removed with all it holds by the
// destructor.
class TemporaryDirectory {
 public:
  // parent empty: the system's folder for temporary files (TMPDIR, /tmp).
  static Result<TemporaryDirectory> Create(const std::string& prefix = "bertie-",
                                           const std::filesystem::path& parent = {});
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;
  ~TemporaryDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;  // empty when moved from
};

// The folder, and those above it, where they are not there yet. Errors: FileError's.
Status MakeFolders(const std::filesystem::path& folder);

// Removes folders whose names begin with prefix, but for those of an AtomicDirectory that lives.
void RemoveAbandonedFolders(const std::filesystem::path& parent, const std::string& prefix);

// Removes what killed writers of AtomicFiles left in the folder, files named ".NAME.new-XXXXXX".
// Nobody else may be writing there.
void RemoveAbandonedFiles(const std::filesystem::path& folder);

// A folder written beside the one whose place it takes. Until Commit the target is untouched, and
// the destructor removes what was not committed. A process that was killed, or whose Commit could
// not sync the parent, leaves a hidden folder ".NAME.new-XXXXXX" or ".NAME.old-XXXXXX", which the
// next Create for the same target removes (see Recover).
//
// Files of the old folder that the new one lacks are kept (a training history, a README), unless
// `stale` says they belong to what is replaced; so are its subfolders.
class AtomicDirectory {
 public:
  // Puts right what a process killed in a Commit to the same target left: subfolders that had not
  // been moved yet are, an old folder whose place is empty goes back there, and leftovers are
  // removed. Does nothing to those of a process that lives.
  static void Recover(const std::filesystem::path& target);

  // The target's parent must exist. The target may be absent, or a folder. Calls Recover.
  static Result<AtomicDirectory> Create(const std::filesystem::path& target);
  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&& other) noexcept;
  ~AtomicDirectory();

  // Write into this folder.
  const std::filesystem::path& path() const { return path_; }

  // Syncs every file, then exchanges the two folders in one step (renameat2), or, on a file system
  // without that, moves the old folder to ".NAME.old-XXXXXX" and the new one into its place: a
  // crash between the two leaves the old folder whole under that name. Where the target is a mount
  // point or its parent is not writable, the folder cannot be replaced: then its files are, one
  // rename each, in name order, and only each file by itself is old or new. stale(name) is asked
  // for each file of the old folder that the new one lacks: true drops it.
  Status Commit(bool (*stale)(const std::string& name));

 private:
  AtomicDirectory() = default;
  void Discard();
  Status CarryFiles(bool (*stale)(const std::string&)) const;
  Status Exchange();
  Status ReplaceFilesOneByOne(bool (*stale)(const std::string&));
  Status MoveSubfolders(const std::filesystem::path& old) const;

  std::filesystem::path target_;
  std::filesystem::path path_;  // empty once committed or moved from
  int lock_fd_ = -1;            // holds a lock on path_ that tells a live writer from a dead one
};

}  // namespace bertie
