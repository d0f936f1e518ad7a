// One thing to classify.
#pragma once

#include <optional>
#include <string>

namespace bertie::serve {

struct TextInput {
  std::string text;
  std::optional<std::string> pair;
};

}  // namespace bertie::serve
