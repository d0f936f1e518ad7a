// Zip directories: every entry lies within the archive and apart from the others.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/zip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto archive = bertie::formats::ZipArchive::Parse(bytes, "fuzz");
  if (!archive.ok()) return 0;
  size_t total = 0;
  for (const auto& [name, entry] : archive->entries()) {
    const auto content = archive->Read(name);
    if (!content.ok()) continue;
    if (!content->empty() && (content->data() < bytes.data() ||
                              content->data() + content->size() > bytes.data() + size)) {
      std::abort();
    }
    total += content->size();
  }
  if (total > size) std::abort();
  return 0;
}
