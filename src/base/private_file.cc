#include "base/private_file.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/file.h"

namespace bertie {

Status WritePrivateFile(const std::filesystem::path& target, std::string_view content) {
  BERTIE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(target));
  if (::chmod(file.temporary_path().c_str(), S_IRUSR | S_IWUSR) != 0) {
    return FileError(errno, target, "set permissions for");
  }
  BERTIE_RETURN_IF_ERROR(file.Write(content));
  return file.Commit();
}

}  // namespace bertie
