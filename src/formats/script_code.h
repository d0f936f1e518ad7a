// The code of a TorchScript archive as trees. It is a small part of Python, as PyTorch's
// torch/csrc/jit/serialization/python_print.cpp prints it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::formats {

struct ScriptExpr {
  enum class Kind {
    kName,       // text
    kInteger,    // integer
    kFloat,      // number
    kString,     // text, escapes as they stand
    kAttribute,  // items[0].text
    kCall,       // items[0](items[1], ...); keywords[i] is the name of items[i + 1], or ""
    kSubscript,  // items[0][items[1], ...]
    kList,       // items
    kTuple,      // items
    kDict,       // key, value, key, value, ...
  };
  Kind kind = Kind::kName;
  std::string text;
  int64_t integer = 0;
  double number = 0;
  std::vector<ScriptExpr> items;
  std::vector<std::string> keywords;
};

struct ScriptStatement {
  // Names that are assigned the value, or the parts of it where there are several; none: return.
  std::vector<std::string> targets;
  ScriptExpr value;
  int line = 0;
};

struct ScriptMethod {
  std::vector<std::string> parameters;  // self among them
  std::vector<ScriptStatement> body;
  // What in it is beyond a row of assignments ("line 12: 'if'"): it cannot be followed. "":
  // nothing.
  std::string beyond;
};

// Each class's methods by name.
using ScriptClasses = std::map<std::string, std::map<std::string, ScriptMethod>>;

// The classes of one file of code. kInvalidData with the line: text that is no such code, or nested
// beyond 64.
Result<ScriptClasses> ParseScriptCode(std::string_view text, const std::string& where);

}  // namespace bertie::formats
