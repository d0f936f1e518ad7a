#include "formats/pickle_calls.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace bertie::formats {
namespace {

constexpr size_t kMaxPickledDimensions = 16;
constexpr size_t kMaxKeyBytes = 256;

struct What {
  PickleGlobal global;
  DType dtype = DType::kF32;
};

struct NamedGlobal {
  std::string_view module;
  std::string_view name;
  What what;
};

constexpr std::array kGlobals = {
    NamedGlobal{"collections", "OrderedDict", {PickleGlobal::kOrderedDict}},
    NamedGlobal{"torch._utils", "_rebuild_tensor", {PickleGlobal::kRebuildTensor}},
    NamedGlobal{"torch._utils", "_rebuild_tensor_v2", {PickleGlobal::kRebuildTensorV2}},
    NamedGlobal{"torch._utils", "_rebuild_parameter", {PickleGlobal::kRebuildParameter}},
    NamedGlobal{"torch", "Size", {PickleGlobal::kSize}},
    NamedGlobal{"torch", "FloatStorage", {PickleGlobal::kStorageClass, DType::kF32}},
    NamedGlobal{"torch", "HalfStorage", {PickleGlobal::kStorageClass, DType::kF16}},
    NamedGlobal{"torch", "BFloat16Storage", {PickleGlobal::kStorageClass, DType::kBF16}},
    NamedGlobal{"torch", "DoubleStorage", {PickleGlobal::kStorageClass, DType::kF64}},
    NamedGlobal{"torch", "LongStorage", {PickleGlobal::kStorageClass, DType::kI64}},
    NamedGlobal{"torch", "IntStorage", {PickleGlobal::kStorageClass, DType::kI32}},
    NamedGlobal{"torch", "ShortStorage", {PickleGlobal::kStorageClass, DType::kI16}},
    NamedGlobal{"torch", "CharStorage", {PickleGlobal::kStorageClass, DType::kI8}},
    NamedGlobal{"torch", "ByteStorage", {PickleGlobal::kStorageClass, DType::kU8}},
    NamedGlobal{"torch", "BoolStorage", {PickleGlobal::kStorageClass, DType::kBool}},
};

// What torch/csrc/jit/serialization/pickler.cpp writes besides.
constexpr std::array kScriptGlobals = {
    NamedGlobal{"torch.jit._pickle", "restore_type_tag", {PickleGlobal::kTypeTag}},
    NamedGlobal{"torch.jit._pickle", "build_intlist", {PickleGlobal::kTypedList}},
    NamedGlobal{"torch.jit._pickle", "build_doublelist", {PickleGlobal::kTypedList}},
    NamedGlobal{"torch.jit._pickle", "build_boollist", {PickleGlobal::kTypedList}},
    NamedGlobal{"torch.jit._pickle", "build_tensorlist", {PickleGlobal::kTypedList}},
};

Error Bad(const std::string& what) { return {ErrorCode::kInvalidData, what}; }

// A sequence's items, of a list or a tuple; null for anything else.
const std::vector<PickleRef>* Items(PickleRef value) {
  if (const auto* tuple = value->As<PickleValue::Tuple>()) return &tuple->items;
  if (const auto* list = value->As<PickleValue::List>()) return &list->items;
  return nullptr;
}

// Integers from 0 up, as sizes, strides and offsets are.
std::optional<int64_t> Natural(PickleRef value) {
  const auto* number = value->As<int64_t>();
  return number != nullptr && *number >= 0 ? std::optional(*number) : std::nullopt;
}

std::optional<Shape> Naturals(PickleRef value) {
  const auto* items = Items(value);
  if (items == nullptr || items->size() > kMaxPickledDimensions) return std::nullopt;
  Shape shape;
  for (const PickleRef item : *items) {
    const auto number = Natural(item);
    if (!number) return std::nullopt;
    shape.push_back(*number);
  }
  return shape;
}

// Why a tensor's sizes cannot be what they say, or "".
std::string TensorFault(const PickleTensor& tensor) {
  if (tensor.shape.size() != tensor.strides.size()) return "has not one stride for each size";
  int64_t bytes = static_cast<int64_t>(DTypeSize(tensor.storage.dtype));
  int64_t last = tensor.offset;  // the index of the last element
  bool empty = false;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const int64_t size = tensor.shape[i];
    int64_t span = 0;
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, size, &bytes) ||
               __builtin_mul_overflow(size - 1, tensor.strides[i], &span) ||
               __builtin_add_overflow(last, span, &last)) {
      return "overflows";
    }
  }
  if (empty ? tensor.offset > tensor.storage.elements : last >= tensor.storage.elements) {
    return "of offset " + std::to_string(tensor.offset) + " and strides " +
           ShapeString(tensor.strides) + " leaves its storage of " +
           std::to_string(tensor.storage.elements) + " elements";
  }
  return "";
}

// OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it.
Result<PickleValue> MakeOrderedDict(const std::vector<PickleRef>& arguments) {
  PickleValue::Dict dict;
  if (arguments.empty()) return PickleValue{std::move(dict)};
  if (arguments.size() > 1) return Bad("an OrderedDict made of more than one argument");
  const auto* pairs = Items(arguments[0]);
  if (pairs == nullptr) return Bad("an OrderedDict made of something that is not a list");
  for (const PickleRef pair : *pairs) {
    const auto* both = Items(pair);
    if (both == nullptr || both->size() != 2) return Bad("an OrderedDict's item is no pair");
    dict.items.emplace_back((*both)[0], (*both)[1]);
  }
  return PickleValue{std::move(dict)};
}

// (storage, offset, sizes, strides, ...): what follows is about gradients.
Result<PickleValue> MakeTensor(const std::vector<PickleRef>& arguments) {
  if (arguments.size() < 4) return Bad("a tensor with fewer than 4 arguments");
  const auto* storage = arguments[0]->As<PickleStorage>();
  const auto offset = Natural(arguments[1]);
  auto shape = Naturals(arguments[2]);
  auto strides = Naturals(arguments[3]);
  if (storage == nullptr || !offset || !shape || !strides) {
    return Bad("a tensor's storage, offset, sizes or strides are not such");
  }
  PickleTensor tensor{*storage, *offset, std::move(*shape), std::move(*strides)};
  if (const std::string fault = TensorFault(tensor); !fault.empty()) {
    return Bad("a tensor of shape " + ShapeString(tensor.shape) + " " + fault);
  }
  return PickleValue{std::move(tensor)};
}

}  // namespace

std::optional<PickleName> FindPickleGlobal(std::string_view module, std::string_view name,
                                           PickleKind kind) {
  const auto find = [&](const auto& globals) -> std::optional<PickleName> {
    const auto found = std::find_if(globals.begin(), globals.end(), [&](const NamedGlobal& g) {
      return g.module == module && g.name == name;
    });
    if (found == globals.end()) return std::nullopt;
    return PickleName{found->what.global, found->what.dtype, ""};
  };
  if (auto known = find(kGlobals); known || kind == PickleKind::kStateDict) return known;
  if (module == "__torch__" || module.starts_with("__torch__.")) {
    return PickleName{PickleGlobal::kScriptClass, DType::kF32,
                      std::string(module) + "." + std::string(name)};
  }
  return find(kScriptGlobals);
}

Result<PickleValue> CallPickleGlobal(const PickleName& name,
                                     const std::vector<PickleRef>& arguments) {
  switch (name.global) {
    case PickleGlobal::kOrderedDict:
      return MakeOrderedDict(arguments);
    case PickleGlobal::kRebuildTensor:
    case PickleGlobal::kRebuildTensorV2:
      return MakeTensor(arguments);
    case PickleGlobal::kRebuildParameter:
      if (arguments.empty() || !arguments[0]->As<PickleTensor>()) {
        return Bad("a parameter that is not made of a tensor");
      }
      return *arguments[0];
    case PickleGlobal::kSize:
      if (arguments.size() != 1 || !Naturals(arguments[0])) {
        return Bad("a torch.Size that is none");
      }
      return PickleValue{PickleValue::Tuple{*Items(arguments[0])}};
    case PickleGlobal::kTypeTag:
      if (arguments.size() != 2) return Bad("a type's tag without a value and a type");
      return *arguments[0];
    case PickleGlobal::kTypedList:
      if (arguments.size() != 1 || !arguments[0]->As<PickleValue::List>()) {
        return Bad("a typed list that is not made of a list");
      }
      return *arguments[0];
    case PickleGlobal::kStorageClass:
    case PickleGlobal::kScriptClass:
      break;
  }
  return Error{ErrorCode::kUnsupported,
               "a call of a storage class or a script class; nothing was executed"};
}

// ('storage', class, key, location, elements), and in the older form a sixth, the part of another
// storage that this one is: PyTorch stopped to write that before BERT was made.
Result<PickleStorage> MakePickleStorage(PickleRef persistent_id) {
  const auto* items = Items(persistent_id);
  if (items == nullptr || items->size() < 5 || items->size() > 6) {
    return Bad("a persistent id that is not a storage's");
  }
  const auto* kind = (*items)[0]->As<std::string>();
  const auto* type = (*items)[1]->As<PickleName>();
  const auto* key = (*items)[2]->As<std::string>();
  const auto elements = Natural((*items)[4]);
  if (kind == nullptr || *kind != "storage" || type == nullptr ||
      type->global != PickleGlobal::kStorageClass || key == nullptr || !elements) {
    return Bad("a persistent id that is not a storage's");
  }
  if (items->size() == 6 && !(*items)[5]->As<PickleValue::None>()) {
    return Error{ErrorCode::kUnsupported, "a storage that is a part of another one"};
  }
  if (key->size() > kMaxKeyBytes) return Bad("a storage's key is too long");
  return PickleStorage{type->dtype, *key, *elements};
}

}  // namespace bertie::formats
