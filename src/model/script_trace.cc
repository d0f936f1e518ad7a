#include "model/script_trace.h"

#include <algorithm>
#include <map>

#include "base/quote.h"
#include "formats/script_code.h"

namespace bertie::model {
namespace {

using formats::ScriptClasses;
using formats::ScriptExpr;
using formats::ScriptMethod;
using formats::ScriptStatement;
using Kind = TraceNode::Kind;

constexpr size_t kMaxNodes = 1'000'000;  // BERT-large has some 10,000
constexpr int kMaxDepth = 300;           // of expressions in expressions, calls included

class Follower {
 public:
  Follower(const formats::TorchScriptFile& file, const std::string& where)
      : file_(file), where_(where) {}

  Result<ScriptTrace> Run() {
    BERTIE_ASSIGN_OR_RETURN(const ScriptMethod* forward, FindMethod("", "forward", {}));
    std::vector<TraceRef> arguments;
    for (size_t i = 1; i < forward->parameters.size(); ++i) {
      BERTIE_ASSIGN_OR_RETURN(TraceNode * input, Make(Kind::kInput));
      input->text = forward->parameters[i];
      arguments.push_back(input);
      trace_.inputs.push_back(input->text);
    }
    BERTIE_ASSIGN_OR_RETURN(trace_.result, Call("", "forward", arguments, {}));
    return std::move(trace_);
  }

 private:
  using Names = std::map<std::string, TraceRef>;
  // Where the follower is, for messages.
  struct Place {
    std::string member;
    int line = 0;
  };

  Error Fail(ErrorCode code, const Place& place, const std::string& what) const {
    std::string at = where_;
    if (!place.member.empty()) {
      at += ": code/" + place.member + ", line " + std::to_string(place.line);
    }
    return {code, at + ": " + what};
  }
  Error Bad(const Place& place, const std::string& what) const {
    return Fail(ErrorCode::kInvalidData, place, what);
  }
  Error Beyond(const Place& place, const std::string& what) const {
    return Fail(ErrorCode::kUnsupported, place, what);
  }

  Result<TraceNode*> Make(Kind kind) {
    if (trace_.nodes.size() >= kMaxNodes) {
      return Error{ErrorCode::kResourceExhausted,
                   where_ + ": the code has more than " + std::to_string(kMaxNodes) + " steps"};
    }
    trace_.nodes.push_back({});
    trace_.nodes.back().kind = kind;
    return &trace_.nodes.back();
  }

  // ---- modules

  // "__torch__/torch/nn/modules/linear/___torch_mangle_2.py" of "__torch__.....Linear".
  static std::pair<std::string, std::string> MemberAndClass(const std::string& type) {
    const size_t dot = type.rfind('.');
    if (dot == std::string::npos) return {"", type};
    std::string member = type.substr(0, dot);
    std::replace(member.begin(), member.end(), '.', '/');
    return {member + ".py", type.substr(dot + 1)};
  }

  Result<const ScriptClasses*> Classes(const std::string& member, const Place& place) {
    const auto parsed = classes_.find(member);
    if (parsed != classes_.end()) return &parsed->second;
    const auto code = file_.code.find(member);
    if (code == file_.code.end()) {
      return Bad(place, "an archive without the member code/" + member);
    }
    BERTIE_ASSIGN_OR_RETURN(ScriptClasses classes,
                            formats::ParseScriptCode(code->second, where_ + ": code/" + member));
    return &(classes_[member] = std::move(classes));
  }

  Result<const ScriptMethod*> FindMethod(const std::string& path, const std::string& method,
                                         const Place& place) {
    const auto module = file_.modules.find(path);
    if (module == file_.modules.end()) return Bad(place, "no module " + Quote(path, 200));
    const auto [member, name] = MemberAndClass(module->second);
    BERTIE_ASSIGN_OR_RETURN(const ScriptClasses* classes, Classes(member, place));
    const auto found = classes->find(name);
    if (found == classes->end() || !found->second.contains(method)) {
      return Bad({member, 1}, "no class " + Quote(name) + " with a method " + Quote(method));
    }
    return &found->second.at(method);
  }

  // A module that is called several times has forward, forward1, ...
  static bool IsForward(std::string_view name) {
    constexpr std::string_view kForward = "forward";
    return name.starts_with(kForward) && std::all_of(name.begin() + kForward.size(), name.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
  }

  Result<TraceRef> Call(const std::string& path, const std::string& name,
                        const std::vector<TraceRef>& arguments, const Place& caller) {
    BERTIE_ASSIGN_OR_RETURN(const ScriptMethod* method, FindMethod(path, name, caller));
    Place place{MemberAndClass(file_.modules.at(path)).first, 0};
    if (!method->beyond.empty()) {
      return Error{ErrorCode::kUnsupported,
                   where_ + ": code/" + place.member + ", " + method->beyond +
                       ": found scripted code with control flow, expected the straight code of "
                       "torch.jit.trace"};
    }
    if (arguments.size() + 1 != method->parameters.size()) {
      return Bad(caller, "forward of " + Quote(path, 200) + " is called with " +
                             std::to_string(arguments.size()) + " arguments, expected " +
                             std::to_string(method->parameters.size() - 1));
    }
    Names names;
    BERTIE_ASSIGN_OR_RETURN(TraceNode * self, Make(Kind::kModule));
    self->text = path;
    names[method->parameters[0]] = self;
    for (size_t i = 0; i < arguments.size(); ++i) names[method->parameters[i + 1]] = arguments[i];
    for (const ScriptStatement& statement : method->body) {
      place.line = statement.line;
      BERTIE_ASSIGN_OR_RETURN(const TraceRef value, Evaluate(statement.value, names, place));
      if (statement.targets.empty()) return value;
      BERTIE_RETURN_IF_ERROR(Assign(statement, value, names, place));
    }
    return Bad(place, "a forward that returns nothing");
  }

  Status Assign(const ScriptStatement& statement, TraceRef value, Names& names,
                const Place& place) {
    if (statement.targets.size() == 1) {
      names[statement.targets[0]] = value;
      return {};
    }
    if (value->kind == Kind::kList && value->operands.size() != statement.targets.size()) {
      return Bad(place, "an assignment of another number of values than names");
    }
    for (size_t i = 0; i < statement.targets.size(); ++i) {
      BERTIE_ASSIGN_OR_RETURN(names[statement.targets[i]], Part(value, static_cast<int64_t>(i)));
    }
    return {};
  }

  Result<TraceRef> Part(TraceRef value, int64_t index) {
    if (value->kind == Kind::kList && index >= 0 &&
        index < static_cast<int64_t>(value->operands.size())) {
      return value->operands[static_cast<size_t>(index)];
    }
    BERTIE_ASSIGN_OR_RETURN(TraceNode * number, Make(Kind::kInteger));
    number->integer = index;
    BERTIE_ASSIGN_OR_RETURN(TraceNode * part, Make(Kind::kOp));
    part->text = "item";
    part->operands = {value, number};
    return part;
  }

  // ---- expressions

  Result<TraceRef> Evaluate(const ScriptExpr& expression, const Names& names, const Place& place) {
    if (++depth_ > kMaxDepth) {
      return Fail(ErrorCode::kResourceExhausted, place,
                  "nested beyond " + std::to_string(kMaxDepth));
    }
    auto value = EvaluateInside(expression, names, place);
    --depth_;
    return value;
  }

  Result<TraceRef> EvaluateInside(const ScriptExpr& expression, const Names& names,
                                  const Place& place) {
    switch (expression.kind) {
      case ScriptExpr::Kind::kName:
        return Name(expression.text, names, place);
      case ScriptExpr::Kind::kInteger:
      case ScriptExpr::Kind::kFloat:
      case ScriptExpr::Kind::kString:
        return Literal(expression);
      case ScriptExpr::Kind::kAttribute:
        return Attribute(expression, names, place);
      case ScriptExpr::Kind::kCall:
        return EvaluateCall(expression, names, place);
      case ScriptExpr::Kind::kSubscript: {
        if (expression.items.size() != 2) return Beyond(place, "an index that is not one number");
        BERTIE_ASSIGN_OR_RETURN(const TraceRef whole, Evaluate(expression.items[0], names, place));
        BERTIE_ASSIGN_OR_RETURN(const TraceRef index, Evaluate(expression.items[1], names, place));
        if (index->kind != Kind::kInteger) return Beyond(place, "an index that is not one number");
        return Part(whole, index->integer);
      }
      case ScriptExpr::Kind::kList:
      case ScriptExpr::Kind::kTuple:
      case ScriptExpr::Kind::kDict:
        break;
    }
    std::vector<TraceRef> items;
    for (const ScriptExpr& item : expression.items) {
      BERTIE_ASSIGN_OR_RETURN(const TraceRef value, Evaluate(item, names, place));
      items.push_back(value);
    }
    BERTIE_ASSIGN_OR_RETURN(
        TraceNode * list,
        Make(expression.kind == ScriptExpr::Kind::kDict ? Kind::kDict : Kind::kList));
    list->operands = std::move(items);
    return list;
  }

  Result<TraceRef> Literal(const ScriptExpr& expression) {
    BERTIE_ASSIGN_OR_RETURN(TraceNode * node,
                            Make(expression.kind == ScriptExpr::Kind::kInteger ? Kind::kInteger
                                 : expression.kind == ScriptExpr::Kind::kFloat ? Kind::kFloat
                                                                               : Kind::kString));
    node->text = expression.text;
    node->integer = expression.integer;
    node->number = expression.number;
    return node;
  }

  Result<TraceRef> Name(const std::string& name, const Names& names, const Place& place) {
    const auto found = names.find(name);
    if (found != names.end()) return found->second;
    if (name == "None") return Scalar({});
    if (name == "True" || name == "False") {
      BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(Kind::kBool));
      node->integer = name == "True";
      return node;
    }
    return Bad(place, "the name " + Quote(name) + " has no value");
  }

  // "torch.view", "ops.prim.NumToTensor"; "" where the expression begins with a local name.
  static std::string DottedName(const ScriptExpr& expression, const Names& names) {
    if (expression.kind == ScriptExpr::Kind::kName) {
      return names.contains(expression.text) ? "" : expression.text;
    }
    if (expression.kind != ScriptExpr::Kind::kAttribute) return "";
    const std::string owner = DottedName(expression.items[0], names);
    return owner.empty() ? "" : owner + "." + expression.text;
  }

  Result<TraceRef> Attribute(const ScriptExpr& expression, const Names& names, const Place& place) {
    const std::string dotted = DottedName(expression, names);
    if (dotted.starts_with("CONSTANTS.c")) return Constant(dotted, place);
    if (!dotted.empty()) {  // torch.float and the like, as an argument
      BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(Kind::kString));
      node->text = dotted;
      return node;
    }
    BERTIE_ASSIGN_OR_RETURN(const TraceRef owner, Evaluate(expression.items[0], names, place));
    return Member(owner, expression.text, place);
  }

  Result<TraceRef> Constant(const std::string& name, const Place& place) {
    const std::string digits = name.substr(std::string_view("CONSTANTS.c").size());
    size_t index = file_.constants.size();
    if (!digits.empty() && digits.size() < 8 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      index = std::stoul(digits);
    }
    if (index >= file_.constants.size()) {
      return Bad(place, Quote(name) + " is not among the " +
                            std::to_string(file_.constants.size()) + " of constants.pkl");
    }
    const formats::ScriptConstant& constant = file_.constants[index];
    if (!constant.is_tensor) return Scalar(constant.scalar);
    BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(Kind::kConstant));
    node->integer = static_cast<int64_t>(index);
    return node;
  }

  Result<TraceRef> Scalar(const formats::ScriptScalar& scalar) {
    constexpr Kind kKinds[] = {Kind::kNone, Kind::kBool, Kind::kInteger, Kind::kFloat,
                               Kind::kString};
    BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(kKinds[scalar.index()]));
    if (const auto* flag = std::get_if<bool>(&scalar)) node->integer = *flag;
    if (const auto* integer = std::get_if<int64_t>(&scalar)) node->integer = *integer;
    if (const auto* number = std::get_if<double>(&scalar)) node->number = *number;
    if (const auto* text = std::get_if<std::string>(&scalar)) node->text = *text;
    return node;
  }

  Result<TraceRef> Member(TraceRef owner, const std::string& name, const Place& place) {
    if (owner->kind != Kind::kModule) {
      return Beyond(place, "the attribute " + Quote(name) + " of something that is no module");
    }
    const std::string path = owner->text.empty() ? name : owner->text + "." + name;
    if (const auto scalar = file_.scalars.find(path); scalar != file_.scalars.end()) {
      return Scalar(scalar->second);
    }
    const bool module = file_.modules.contains(path);
    if (!module && !file_.tensors.contains(path)) {
      return Bad(place, "data.pkl has no " + Quote(path, 200));
    }
    BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(module ? Kind::kModule : Kind::kTensor));
    node->text = path;
    return node;
  }

  Result<TraceRef> EvaluateCall(const ScriptExpr& call, const Names& names, const Place& place) {
    const ScriptExpr& function = call.items[0];
    const std::string name = DottedName(function, names);
    // annotate(TYPE, value): the type is no value.
    const bool typed = name == "annotate" || name == "unchecked_cast";
    if (typed) {
      if (call.items.size() != 3) return Bad(place, name + " without a type and a value");
      return Evaluate(call.items[2], names, place);
    }
    std::vector<TraceRef> operands;
    std::vector<std::pair<std::string, TraceRef>> keywords;
    for (size_t i = 1; i < call.items.size(); ++i) {
      BERTIE_ASSIGN_OR_RETURN(const TraceRef value, Evaluate(call.items[i], names, place));
      if (call.keywords[i - 1].empty()) {
        operands.push_back(value);
      } else {
        keywords.emplace_back(call.keywords[i - 1], value);
      }
    }
    if (name.empty()) {
      if (function.kind != ScriptExpr::Kind::kAttribute || !IsForward(function.text) ||
          !keywords.empty()) {
        return Beyond(place, "a call of something else than forward or an operator");
      }
      BERTIE_ASSIGN_OR_RETURN(const TraceRef owner, Evaluate(function.items[0], names, place));
      if (owner->kind != Kind::kModule) return Beyond(place, "forward of what is no module");
      return Call(owner->text, function.text, operands, place);
    }
    if (name == "getattr") {
      if (operands.size() != 2 || operands[1]->kind != Kind::kString) {
        return Bad(place, "getattr without an object and a name");
      }
      return Member(operands[0], operands[1]->text, place);
    }
    if (name.starts_with("__torch__.")) {
      return Beyond(place, "a call of the archive's own function " + Quote(name, 120));
    }
    BERTIE_ASSIGN_OR_RETURN(TraceNode * node, Make(Kind::kOp));
    node->text = name;
    node->operands = std::move(operands);
    node->keywords = std::move(keywords);
    return node;
  }

  const formats::TorchScriptFile& file_;
  const std::string& where_;
  std::map<std::string, ScriptClasses> classes_;
  ScriptTrace trace_;
  int depth_ = 0;
};

}  // namespace

TraceRef TraceNode::Argument(std::string_view name, size_t place) const {
  for (const auto& [keyword, value] : keywords) {
    if (keyword == name) return value;
  }
  return place < operands.size() ? operands[place] : nullptr;
}

Result<ScriptTrace> FollowForward(const formats::TorchScriptFile& file, const std::string& where) {
  return Follower(file, where).Run();
}

}  // namespace bertie::model
