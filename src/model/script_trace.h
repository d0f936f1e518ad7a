// What a traced module computes, as a graph: its code followed through all submodules.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "formats/torchscript.h"

namespace bertie::model {

struct TraceNode;
using TraceRef = const TraceNode*;  // into the ScriptTrace that made it

struct TraceNode {
  enum class Kind {
    kNone,
    kBool,      // integer
    kInteger,   // integer
    kFloat,     // number
    kString,    // text
    kInput,     // an argument of forward; text: its name
    kTensor,    // a parameter or buffer; text: its path
    kConstant,  // a tensor among the constants; integer: its index
    kModule,    // text: its path
    kList,      // a list or tuple; operands
    kDict,      // operands: key, value, key, value, ...
    kOp,        // text: "torch.view"; operands, and keywords for those given by name
  };
  Kind kind = Kind::kNone;
  std::string text;
  int64_t integer = 0;
  double number = 0;
  std::vector<TraceRef> operands;
  std::vector<std::pair<std::string, TraceRef>> keywords;

  bool IsOp(std::string_view name) const { return kind == Kind::kOp && text == name; }
  bool IsTrue() const { return kind == Kind::kBool && integer != 0; }
  // By name, else by place; null where it is not given.
  TraceRef Argument(std::string_view name, size_t place) const;
};

struct ScriptTrace {
  std::deque<TraceNode> nodes;      // owns them
  std::vector<std::string> inputs;  // names of forward's arguments
  TraceRef result = nullptr;
};

// Follows forward of the root module by its text; nothing is computed. kUnsupported: control flow,
// a function of the archive's own, anything else that no trace of a model has; kInvalidData: code
// or an attribute that is missing, malformed code; kResourceExhausted: over 1,000,000 nodes. All
// name the member and the line.
Result<ScriptTrace> FollowForward(const formats::TorchScriptFile& file, const std::string& where);

}  // namespace bertie::model
