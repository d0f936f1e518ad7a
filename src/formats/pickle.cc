#include "formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/quote.h"
#include "formats/pickle_calls.h"

namespace bertie::formats {
namespace {

using None = PickleValue::None;
using Tuple = PickleValue::Tuple;
using List = PickleValue::List;
using Dict = PickleValue::Dict;
using BigInteger = PickleValue::BigInteger;

constexpr size_t kMaxGlobalNameBytes = 256;

// Opcodes by their names in pickletools.
enum Op : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kDict = 'd',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

class Interpreter {
 public:
  Interpreter(std::span<const std::byte> bytes, const std::string& where,
              const PickleLimits& limits, PickleKind kind)
      : bytes_(bytes.first(std::min(bytes.size(), limits.max_bytes))),
        where_(where),
        limits_(limits),
        kind_(kind) {}

  Result<Pickle> Run() {
    for (int64_t operations = 0;; ++operations) {
      if (operations >= limits_.max_operations) return Over("operations", limits_.max_operations);
      op_at_ = at_;
      BERTIE_ASSIGN_OR_RETURN(const uint8_t op, Number<uint8_t>());
      if (op == kStop) break;
      BERTIE_RETURN_IF_ERROR(Step(op));
      if (stack_.size() + marks_.size() > limits_.max_stack) {
        return Over("values on the stack", static_cast<int64_t>(limits_.max_stack));
      }
    }
    BERTIE_ASSIGN_OR_RETURN(pickle_.root, Pop());
    pickle_.consumed = at_;
    return std::move(pickle_);
  }

 private:
  Error Fail(ErrorCode code, const std::string& what) const {
    return {code, where_ + ": pickle, byte " + std::to_string(op_at_) + ": " + what};
  }
  Error Bad(const std::string& what) const { return Fail(ErrorCode::kInvalidData, what); }
  Error Over(const std::string& what, int64_t limit) const {
    return Fail(ErrorCode::kResourceExhausted, "more than " + std::to_string(limit) + " " + what);
  }

  // ---- reading the operations' arguments

  Result<std::string_view> Raw(uint64_t size) {
    if (size > bytes_.size() - at_) {
      return Bad("the pickle ends where " + std::to_string(size) + " more bytes are expected");
    }
    const std::string_view raw(reinterpret_cast<const char*>(bytes_.data()) + at_,
                               static_cast<size_t>(size));
    at_ += static_cast<size_t>(size);
    return raw;
  }

  template <class T>
  Result<T> Number() {
    BERTIE_ASSIGN_OR_RETURN(const std::string_view raw, Raw(sizeof(T)));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // Text after a length of type T.
  template <class T>
  Result<std::string_view> Counted() {
    BERTIE_ASSIGN_OR_RETURN(const T size, Number<T>());
    return Raw(size);
  }

  // Text up to a line feed.
  Result<std::string_view> Line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                bytes_.size() - at_);
    const size_t end = rest.substr(0, kMaxGlobalNameBytes + 1).find('\n');
    if (end == std::string_view::npos) return Bad("a name that is too long or never ends");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  // ---- the stack

  Status Push(decltype(PickleValue::value) value) {
    if (static_cast<int64_t>(pickle_.values.size()) >= limits_.max_values) {
      return Over("values", limits_.max_values);
    }
    pickle_.values.push_back({std::move(value)});
    stack_.push_back(&pickle_.values.back());
    return {};
  }

  // Values below the last mark belong to an outer collection.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  Result<PickleValue*> Pop() {
    if (Available() == 0) return Bad("an operation without a value to work on");
    PickleValue* top = stack_.back();
    stack_.pop_back();
    return top;
  }

  Result<PickleValue*> Top() const {
    if (Available() == 0) return Bad("an operation without a value to work on");
    return stack_.back();
  }

  Result<std::vector<PickleRef>> PopToMark() {
    if (marks_.empty()) return Bad("an operation without its mark");
    const auto first = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<PickleRef> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  Result<std::vector<PickleRef>> PopSome(size_t count) {
    if (Available() < count) return Bad("an operation without enough values to work on");
    const auto first = stack_.end() - static_cast<ptrdiff_t>(count);
    std::vector<PickleRef> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }

  // ---- the operations, by kind

  Status Step(uint8_t op) {
    switch (op) {
      case kNone:
        return Push(None{});
      case kNewTrue:
      case kNewFalse:
        return Push(op == kNewTrue);
      case kBinInt:
      case kBinInt1:
      case kBinInt2:
      case kLong1:
      case kBinFloat:
        return PushNumber(op);
      case kBinUnicode:
      case kShortBinUnicode:
      case kBinBytes:
      case kShortBinBytes:
        return PushText(op);
      case kMark:
      case kPop:
      case kPopMark:
      case kProto:
      case kFrame:
        return Arrange(op);
      case kEmptyTuple:
      case kTuple:
      case kTuple1:
      case kTuple2:
      case kTuple3:
      case kEmptyList:
      case kList:
      case kEmptyDict:
      case kDict:
        return PushCollection(op);
      case kAppend:
      case kAppends:
      case kSetItem:
      case kSetItems:
        return Extend(op);
      case kBinPut:
      case kLongBinPut:
      case kMemoize:
      case kBinGet:
      case kLongBinGet:
        return Memo(op);
      case kGlobal:
      case kInst:
      case kStackGlobal:
        return PushGlobal(op);
      case kBinPersId:
        return PushStorage();
      case kReduce:
        return Reduce();
      case kBuild:
        return Build();
      case kNewObj:
        if (kind_ == PickleKind::kScriptModule) return NewObject();
        [[fallthrough]];
      default:
        return Fail(ErrorCode::kUnsupported,
                    "the operation " + Quote(std::string(1, static_cast<char>(op))) +
                        ", which no " + KindName() + " needs; nothing was executed");
    }
  }

  std::string KindName() const {
    return kind_ == PickleKind::kStateDict ? "state dict" : "TorchScript module";
  }

  Status PushNumber(uint8_t op) {
    if (op == kBinFloat) {
      BERTIE_ASSIGN_OR_RETURN(const uint64_t bits, Number<uint64_t>());
      return Push(std::bit_cast<double>(__builtin_bswap64(bits)));  // big-endian, unlike the rest
    }
    if (op == kBinInt1) {
      BERTIE_ASSIGN_OR_RETURN(const uint8_t value, Number<uint8_t>());
      return Push(int64_t{value});
    }
    if (op == kBinInt2) {
      BERTIE_ASSIGN_OR_RETURN(const uint16_t value, Number<uint16_t>());
      return Push(int64_t{value});
    }
    if (op == kBinInt) {
      BERTIE_ASSIGN_OR_RETURN(const int32_t value, Number<int32_t>());
      return Push(int64_t{value});
    }
    BERTIE_ASSIGN_OR_RETURN(const std::string_view raw, Counted<uint8_t>());
    if (raw.size() > sizeof(int64_t)) return Push(BigInteger{std::string(raw)});
    const bool negative = !raw.empty() && (static_cast<unsigned char>(raw.back()) & 0x80) != 0;
    int64_t value = negative ? -1 : 0;
    std::memcpy(&value, raw.data(), raw.size());
    return Push(value);
  }

  Status PushText(uint8_t op) {
    const bool text = op == kBinUnicode || op == kShortBinUnicode;
    const bool wide = op == kBinUnicode || op == kBinBytes;
    BERTIE_ASSIGN_OR_RETURN(const std::string_view raw,
                            wide ? Counted<uint32_t>() : Counted<uint8_t>());
    if (text) return Push(std::string(raw));
    return Push(PickleValue::Bytes{std::string(raw)});
  }

  Status Arrange(uint8_t op) {
    if (op == kMark) {
      marks_.push_back(stack_.size());
    } else if (op == kPop) {
      BERTIE_RETURN_IF_ERROR(Pop());
    } else if (op == kPopMark) {
      BERTIE_RETURN_IF_ERROR(PopToMark());
    } else if (op == kProto) {
      BERTIE_ASSIGN_OR_RETURN(const uint8_t version, Number<uint8_t>());
      if (version > 5) return Bad("protocol " + std::to_string(version) + ", expected at most 5");
    } else {
      BERTIE_RETURN_IF_ERROR(Number<uint64_t>());  // a frame's length: only a hint for buffering
    }
    return {};
  }

  Status PushCollection(uint8_t op) {
    if (op == kEmptyTuple) return Push(Tuple{});
    if (op == kEmptyList) return Push(List{});
    if (op == kEmptyDict) return Push(Dict{});
    if (op >= kTuple1 && op <= kTuple3) {
      BERTIE_ASSIGN_OR_RETURN(auto items, PopSome(op - kTuple1 + 1u));
      return Push(Tuple{std::move(items)});
    }
    BERTIE_ASSIGN_OR_RETURN(auto items, PopToMark());
    if (op == kTuple) return Push(Tuple{std::move(items)});
    if (op == kList) return Push(List{std::move(items)});
    Dict dict;
    BERTIE_RETURN_IF_ERROR(SetItems(dict, items));
    return Push(std::move(dict));
  }

  Status SetItems(Dict& dict, const std::vector<PickleRef>& items) const {
    if (items.size() % 2 != 0) return Bad("a key without a value");
    for (size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
    return {};
  }

  Status Extend(uint8_t op) {
    const bool one = op == kAppend || op == kSetItem;
    const bool to_list = op == kAppend || op == kAppends;
    BERTIE_ASSIGN_OR_RETURN(const auto items, one ? PopSome(to_list ? 1 : 2) : PopToMark());
    BERTIE_ASSIGN_OR_RETURN(PickleValue * target, Top());
    if (to_list) {
      auto* list = std::get_if<List>(&target->value);
      if (list == nullptr) return Bad("items for something that is not a list");
      list->items.insert(list->items.end(), items.begin(), items.end());
      return {};
    }
    auto* dict = std::get_if<Dict>(&target->value);
    if (dict == nullptr) return Bad("keys and values for something that is not a dict");
    return SetItems(*dict, items);
  }

  Status Memo(uint8_t op) {
    uint64_t index = memo_.size();  // of kMemoize
    if (op == kBinPut || op == kBinGet) {
      BERTIE_ASSIGN_OR_RETURN(index, Number<uint8_t>());
    } else if (op != kMemoize) {
      BERTIE_ASSIGN_OR_RETURN(index, Number<uint32_t>());
    }
    if (op == kBinGet || op == kLongBinGet) {
      if (index >= memo_.size() || memo_[index] == nullptr) {
        return Bad("no value was stored as number " + std::to_string(index));
      }
      stack_.push_back(memo_[index]);
      return {};
    }
    if (index >= limits_.max_memo) {
      return Over("stored values", static_cast<int64_t>(limits_.max_memo));
    }
    BERTIE_ASSIGN_OR_RETURN(PickleValue * top, Top());
    if (index >= memo_.size()) memo_.resize(index + 1, nullptr);
    memo_[index] = top;
    return {};
  }

  Status PushGlobal(uint8_t op) {
    std::string module;
    std::string name;
    if (op == kStackGlobal) {
      BERTIE_ASSIGN_OR_RETURN(const auto names, PopSome(2));
      if (!names[0]->As<std::string>() || !names[1]->As<std::string>()) {
        return Bad("a global whose names are not strings");
      }
      module = *names[0]->As<std::string>();
      name = *names[1]->As<std::string>();
    } else {
      BERTIE_ASSIGN_OR_RETURN(module, Line());
      BERTIE_ASSIGN_OR_RETURN(name, Line());
    }
    const std::optional<PickleName> known = FindPickleGlobal(module, name, kind_);
    if (!known || op == kInst) {
      return Fail(ErrorCode::kUnsupported, "asks for " + Quote(module + "." + name, 120) +
                                               ", which no " + KindName() +
                                               " needs; nothing was executed");
    }
    return Push(*known);
  }

  Status PushStorage() {
    BERTIE_ASSIGN_OR_RETURN(const PickleRef id, Pop());
    auto storage = MakePickleStorage(id);
    if (!storage.ok()) return Fail(storage.error().code, storage.error().message);
    return Push(*std::move(storage));
  }

  Status Reduce() {
    BERTIE_ASSIGN_OR_RETURN(const PickleRef arguments, Pop());
    BERTIE_ASSIGN_OR_RETURN(const PickleRef function, Pop());
    const auto* name = function->As<PickleName>();
    const auto* tuple = arguments->As<Tuple>();
    if (name == nullptr || tuple == nullptr) {
      return Bad("a call of something that is not a known global with a tuple of arguments");
    }
    auto result = CallPickleGlobal(*name, tuple->items);
    if (!result.ok()) return Fail(result.error().code, result.error().message);
    // The operations that copy many items at the cost of a few bytes of pickle.
    if (const auto* dict = result->As<Dict>()) copied_ += static_cast<int64_t>(dict->items.size());
    if (const auto* list = result->As<List>()) copied_ += static_cast<int64_t>(list->items.size());
    if (const auto* made = result->As<Tuple>()) {
      copied_ += static_cast<int64_t>(made->items.size());
    }
    if (copied_ > limits_.max_values) return Over("copied items", limits_.max_values);
    return Push(std::move(result->value));
  }

  // Of a script class only, which is never looked up: what is made is its name.
  Status NewObject() {
    BERTIE_ASSIGN_OR_RETURN(const PickleRef arguments, Pop());
    BERTIE_ASSIGN_OR_RETURN(const PickleRef type, Pop());
    const auto* name = type->As<PickleName>();
    const auto* tuple = arguments->As<Tuple>();
    if (name == nullptr || name->global != PickleGlobal::kScriptClass || tuple == nullptr ||
        !tuple->items.empty()) {
      return Fail(ErrorCode::kUnsupported,
                  "makes an object of something that is not the archive's own class; nothing was "
                  "executed");
    }
    return Push(PickleValue::Object{name->script_class});
  }

  // A state dict's own attribute, _metadata, is of no use here. Anything else has no attributes.
  Status Build() {
    BERTIE_ASSIGN_OR_RETURN(const PickleRef state, Pop());
    BERTIE_ASSIGN_OR_RETURN(PickleValue * target, Top());
    if (std::holds_alternative<Dict>(target->value)) return {};
    if (auto* object = std::get_if<PickleValue::Object>(&target->value)) {
      if (object->state != nullptr) return Bad("sets an object's state twice");
      object->state = state;
      return {};
    }
    return Fail(ErrorCode::kUnsupported,
                "sets the state of something that is not a dict; nothing was executed");
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  const PickleLimits& limits_;
  const PickleKind kind_;
  size_t at_ = 0;
  size_t op_at_ = 0;
  Pickle pickle_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::vector<PickleValue*> memo_;
  int64_t copied_ = 0;
};

}  // namespace

Result<Pickle> ReadPickle(std::span<const std::byte> bytes, const std::string& where,
                          const PickleLimits& limits, PickleKind kind) {
  return Interpreter(bytes, where, limits, kind).Run();
}

PickleRef FindItem(const PickleValue::Dict& dict, std::string_view key) {
  for (auto item = dict.items.rbegin(); item != dict.items.rend(); ++item) {
    const auto* name = item->first->As<std::string>();
    if (name != nullptr && *name == key) return item->second;
  }
  return nullptr;
}

}  // namespace bertie::formats
