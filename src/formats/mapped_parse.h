// Files that are read where they are mapped.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace bertie::formats {

// What File::Parse makes of the whole file at the path, mapped; its `storage` then keeps the
// mapping too. Parse's errors, MappedFile's, and kInvalidData where the file changed meanwhile.
template <class File>
Result<File> ParseMapped(const std::filesystem::path& path) {
  using Kept = std::shared_ptr<const void>;
  BERTIE_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapped, MappedFile::Open(path));
  BERTIE_ASSIGN_OR_RETURN(File file, File::Parse(mapped->bytes(), path.string()));
  BERTIE_RETURN_IF_ERROR(mapped->CheckUnchanged());
  file.storage =
      std::make_shared<std::pair<Kept, Kept>>(std::move(mapped), std::move(file.storage));
  return file;
}

}  // namespace bertie::formats
