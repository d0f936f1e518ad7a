// Gzip (RFC 1952) unpacked as it is read.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie::formats {

// Whether bytes that begin so are gzip: at least two are needed to say yes.
bool LooksLikeGzip(std::string_view beginning);

// In constant memory, from a file or a pipe; members that follow each other are one content. One
// thread at a time.
class Gunzip {
 public:
  // beginning: what was read from fd already. The descriptor stays the caller's. name: for
  // messages.
  static Result<Gunzip> Open(const std::string& name, std::string beginning, int fd);
  Gunzip(Gunzip&&) noexcept;
  Gunzip& operator=(Gunzip&&) noexcept;
  ~Gunzip();

  // Bytes put into `to`; 0 at the end. kIo where it cannot be read, is damaged or cut short:
  // nothing can be read after that.
  Result<size_t> Read(std::span<char> to);

 private:
  struct Impl;
  explicit Gunzip(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::formats
