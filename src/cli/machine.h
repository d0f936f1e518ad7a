// The processor at hand, for records of runs.
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

struct Machine {
  std::string cpu;                    // "AMD EPYC 7B13"; "" where the system does not tell
  std::vector<std::string> features;  // of those that decide which kernels run: "avx2", "amx_bf16"
};

Machine DescribeMachine();

}  // namespace bertie::cli
