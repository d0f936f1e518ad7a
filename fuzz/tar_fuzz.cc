// Archives: whatever the bytes, nothing but files and folders is made, all of it below the root.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/directory.h"
#include "formats/tar.h"

namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // In memory where there is such a place: thousands of small files a second.
  static const auto dir =
      bertie::TemporaryDirectory::Create("bertie-fuzz-", fs::exists("/dev/shm") ? "/dev/shm" : "");
  if (!dir.ok()) std::abort();
  const fs::path archive = dir->path() / "archive";
  const fs::path root = dir->path() / "root";
  std::ofstream(archive, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  fs::create_directory(root);
  (void)bertie::formats::ExtractTar(archive, root, {.max_bytes = 1 << 20, .max_entries = 50});
  size_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const auto type = entry.symlink_status().type();
    if (type != fs::file_type::regular && type != fs::file_type::directory) std::abort();
    if (type == fs::file_type::regular) total += entry.file_size();
  }
  if (total > (1 << 20)) std::abort();
  fs::remove_all(root);
  size_t left = 0;
  for (const auto& entry : fs::directory_iterator(dir->path())) left += entry.exists();
  if (left != 1) std::abort();  // the archive itself
  return 0;
}
