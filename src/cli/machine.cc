#include "cli/machine.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string_view>

#include "base/file.h"

namespace bertie::cli {
namespace {

// The value behind "KEY : " in the first processor's paragraph.
std::string Field(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

}  // namespace

Machine DescribeMachine() {
  Machine machine;
  const auto text = ReadFile("/proc/cpuinfo", uint64_t{16} << 20);
  if (!text.ok()) return machine;
  machine.cpu = Field(*text, "model name");
  std::istringstream flags(Field(*text, "flags"));
  const std::vector<std::string> all(std::istream_iterator<std::string>{flags}, {});
  for (const char* feature :
       {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
        "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}) {
    if (std::find(all.begin(), all.end(), feature) != all.end()) {
      machine.features.emplace_back(feature);
    }
  }
  return machine;
}

}  // namespace bertie::cli
