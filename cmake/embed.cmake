# Writes OUT, a C++ source with the bytes of FILES (paths below ROOT), in the order given:
#   cmake -DOUT=... -DROOT=... "-DFILES=a;b" -P embed.cmake
# The result depends on the files alone. Each gets an entity tag made of its SHA-256.
set(arrays "")
set(entries "")
set(number 0)
foreach(file IN LISTS FILES)
  file(READ ${ROOT}/${file} bytes HEX)
  file(SHA256 ${ROOT}/${file} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "const unsigned char kFile${number}[] = {${bytes}0};\n")
  string(APPEND entries
    "    {\"${file}\", \"\\\"${hash}\\\"\",\n"
    "     {reinterpret_cast<const char*>(kFile${number}), sizeof(kFile${number}) - 1}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "// Made by cmake/embed.cmake.
#include \"pages/embedded.h\"

namespace bertie::pages {
namespace {

${arrays}
const EmbeddedFile kFiles[] = {
${entries}};

}  // namespace

std::span<const EmbeddedFile> EmbeddedFiles() { return kFiles; }

}  // namespace bertie::pages
")
