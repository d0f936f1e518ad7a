// Names of low-rank adapters (LoRA: Hu et al., arXiv 2106.09685).
#pragma once

#include <string>

namespace bertie::model {

// "NAME.lora_A.weight" [rank, in] and "NAME.lora_B.weight" [out, rank], as PEFT calls them, NAME
// being the Linear's.
std::string LoraName(const std::string& linear, char which);

// Whether a parameter's name is one of those.
bool IsAdapter(const std::string& name);

}  // namespace bertie::model
