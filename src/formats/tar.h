// Gzip'd tar archives: model.tar.gz in and out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::formats {

struct TarEntry {
  std::string name;            // in the archive
  std::filesystem::path path;  // the regular file with its content
};

// Writes the archive atomically (base/file.h). The same files give the same bytes: entries sorted
// by name, owner 0, time 0, permissions 0644, no time in the gzip header.
Status WriteTarGz(const std::filesystem::path& target, std::vector<TarEntry> entries);

struct ExtractLimits {
  int64_t max_bytes = int64_t{16} << 30;  // of all files together
  int64_t max_entries = 10'000;
  // Bytes out for each byte in, asked for once 64 MiB are out. Weights hardly compress; a bomb
  // does, about 1,000 times.
  int64_t max_ratio = 200;
};

// Unpacks a tar, gzip'd or plain, into root, an existing empty folder that nobody else writes to.
// Only regular files and folders are made, with permissions 0644 and 0755; a name that comes twice
// has the last content. Nothing is written outside root: refused (kInvalidData) are absolute names,
// names with a ".." or a NUL, links of both kinds, devices, pipes and sockets, and data that breaks
// the format; kResourceExhausted over a limit. After an error root holds what came before it.
Status ExtractTar(const std::filesystem::path& archive, const std::filesystem::path& root,
                  const ExtractLimits& limits = {});

}  // namespace bertie::formats
