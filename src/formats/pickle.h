// Python's pickles, as far as a state dict or a TorchScript module needs them; nothing in them is
// ever executed.
// (Opcodes: Python's Lib/pickletools.py.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace bertie::formats {

struct PickleValue;
// Into the Pickle that made it. Plain pointers, since a pickle may build values that hold
// themselves.
using PickleRef = const PickleValue*;

// The names a pickle may ask for, and no others.
enum class PickleGlobal {
  kOrderedDict,       // collections.OrderedDict
  kRebuildTensor,     // torch._utils._rebuild_tensor
  kRebuildTensorV2,   // torch._utils._rebuild_tensor_v2
  kRebuildParameter,  // torch._utils._rebuild_parameter
  kSize,              // torch.Size
  kStorageClass,      // torch.FloatStorage, ...: has a dtype
  // Of kScriptModule's alone:
  kScriptClass,  // a class of the archive's own code, "__torch__....": made into a PickleObject
  kTypeTag,      // torch.jit._pickle.restore_type_tag(value, type): gives the value
  kTypedList,    // torch.jit._pickle.build_intlist and the like: gives the list
};

struct PickleName {
  PickleGlobal global;
  DType dtype = DType::kF32;  // of a storage class
  std::string script_class;   // "__torch__.torch.nn.modules.linear.Linear"
};

// A storage: the bytes are elsewhere in the file, under this key.
struct PickleStorage {
  DType dtype = DType::kF32;
  std::string key;
  int64_t elements = 0;
};

// A tensor that has been checked to lie within its storage's elements.
struct PickleTensor {
  PickleStorage storage;
  int64_t offset = 0;  // in elements, as are the strides
  Shape shape;
  Shape strides;
};

struct PickleValue {
  struct None {};
  struct Bytes {
    std::string bytes;
  };
  struct Tuple {
    std::vector<PickleRef> items;
  };
  struct List {
    std::vector<PickleRef> items;
  };
  // dict and OrderedDict, in the order in which the items were set; a key may come twice.
  struct Dict {
    std::vector<std::pair<PickleRef, PickleRef>> items;
  };
  // An integer beyond 64 bits: little-endian two's complement.
  struct BigInteger {
    std::string bytes;
  };
  // An object of a script class: its name and what it was given as its state, never a live thing.
  struct Object {
    std::string type;
    PickleRef state = nullptr;  // null where none was set
  };
  std::variant<None, bool, int64_t, double, std::string, Bytes, Tuple, List, Dict, BigInteger,
               PickleName, PickleStorage, PickleTensor, Object>
      value;

  template <class T>
  const T* As() const {
    return std::get_if<T>(&value);
  }
};

struct PickleLimits {
  size_t max_bytes = size_t{64} << 20;
  int64_t max_operations = int64_t{4} << 20;
  int64_t max_values = int64_t{1} << 18;  // made; BERT-large's state dict makes some 10,000
  size_t max_memo = size_t{1} << 20;
  size_t max_stack = size_t{1} << 20;  // values waiting, and marks among them
};

// What is written in the pickle, and so which names and operations are known.
enum class PickleKind { kStateDict, kScriptModule };

// One pickle and everything in it.
struct Pickle {
  std::deque<PickleValue> values;  // owns them; a deque, since PickleRefs point at its elements
  PickleRef root = nullptr;
  size_t consumed = 0;  // bytes up to and including STOP
};

// Reads the pickle that begins at bytes' beginning; messages begin with `where`.
// kUnsupported: a global that is not in PickleGlobal (named as module.name) or not of that kind, a
// call of something else than those, an opcode that the kind does not use; kInvalidData: anything
// malformed, a tensor outside its storage; kResourceExhausted: over a limit.
Result<Pickle> ReadPickle(std::span<const std::byte> bytes, const std::string& where,
                          const PickleLimits& limits = {},
                          PickleKind kind = PickleKind::kStateDict);

// The value of a string key, the last one set; null when there is none.
PickleRef FindItem(const PickleValue::Dict& dict, std::string_view key);

}  // namespace bertie::formats
