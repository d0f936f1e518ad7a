// What the few functions that a state dict's pickle calls make of their arguments.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/pickle.h"

namespace bertie::formats {

// The allow-list of that kind: null for every other name.
std::optional<PickleName> FindPickleGlobal(std::string_view module, std::string_view name,
                                           PickleKind kind);

// The errors' messages say what is wrong with the arguments, not where in which file they stand.
Result<PickleValue> CallPickleGlobal(const PickleName& name,
                                     const std::vector<PickleRef>& arguments);

// The storage that a persistent id names.
Result<PickleStorage> MakePickleStorage(PickleRef persistent_id);

}  // namespace bertie::formats
