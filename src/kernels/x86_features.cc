#include "kernels/x86_features.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace bertie::kernels {
namespace {

bool Asked(const char* variable, std::string_view value) {
  const char* found = std::getenv(variable);
  return found != nullptr && found == value;
}

bool HasAvx512() {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

struct AmxParts {
  bool int8 = false;
  bool bf16 = false;
};

// What the processor has and Linux grants to this process. Not by __builtin_cpu_supports, whose
// names for AMX not every compiler knows.
const AmxParts& Amx() {
  static const AmxParts parts = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return AmxParts{};
    constexpr unsigned kBF16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
    if ((edx & kTile) == 0) return AmxParts{};
    // The state is 8 KiB a thread, which Linux saves for those alone who ask (since 5.16).
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return AmxParts{};
    return AmxParts{(edx & kInt8) != 0, (edx & kBF16) != 0};
  }();
  return parts;
}

}  // namespace

bool UseVnni() {
  static const bool use =
      !Asked("BERTIE_INT8", "quads") && HasAvx512() && __builtin_cpu_supports("avx512vnni");
  return use;
}

bool UseBF16Dot() {
  static const bool use =
      !Asked("BERTIE_BF16", "widen") && HasAvx512() && __builtin_cpu_supports("avx512bf16");
  return use;
}

bool UseAmxInt8() {
  static const bool use = UseVnni() && !Asked("BERTIE_INT8", "vnni") && Amx().int8;
  return use;
}

bool UseAmxBF16() {
  static const bool use = UseBF16Dot() && !Asked("BERTIE_BF16", "dot") && Amx().bf16;
  return use;
}

}  // namespace bertie::kernels
