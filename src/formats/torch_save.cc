#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "base/file.h"
#include "formats/torch_file.h"

namespace bertie::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they are");

// pickles of torch.save's legacy magic number, of its protocol's number (1001), and of what it says
// of the machine: {"protocol_version": 1001, "little_endian": True, "type_sizes": {...}}.
constexpr std::string_view kMagic("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15);
constexpr std::string_view kProtocol("\x80\x02M\xe9\x03.", 6);

class PickleText {
 public:
  PickleText() { Put("\x80\x02"); }  // protocol 2

  void Put(std::string_view opcodes) { text_ += opcodes; }

  void Text(std::string_view text) {
    text_ += 'X';
    Raw(static_cast<uint32_t>(text.size()));
    text_ += text;
  }

  // BININT where it fits, else a LONG1 of eight bytes.
  void Number(int64_t number) {
    if (number <= std::numeric_limits<int32_t>::max()) {
      text_ += 'J';
      return Raw(static_cast<int32_t>(number));
    }
    Put("\x8a\x08");
    Raw(number);
  }

  template <class Numbers>
  void Tuple(const Numbers& numbers) {
    Put("(");
    for (const int64_t number : numbers) Number(number);
    Put("t");
  }

  std::string Finish() { return std::move(text_) + "."; }

 private:
  template <class T>
  void Raw(T value) {
    std::array<char, sizeof(T)> bytes{};
    std::memcpy(bytes.data(), &value, sizeof(T));
    text_.append(bytes.data(), bytes.size());
  }

  std::string text_;
};

std::string SystemInfo() {
  PickleText pickle;
  pickle.Put("}(");
  pickle.Text("protocol_version");
  pickle.Number(1001);
  pickle.Text("little_endian");
  pickle.Put("\x88");  // True
  pickle.Text("type_sizes");
  pickle.Put("}(");
  for (const auto& [name, size] : {std::pair("short", 2), {"int", 4}, {"long", 4}}) {
    pickle.Text(name);
    pickle.Number(size);
  }
  pickle.Put("uu");
  return pickle.Finish();
}

// torch's class of a storage of this type; "" where there is none.
std::string_view StorageClass(DType type) {
  switch (type) {
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    case DType::kF64:
      return "DoubleStorage";
    case DType::kI64:
      return "LongStorage";
    case DType::kI32:
      return "IntStorage";
    case DType::kI16:
      return "ShortStorage";
    case DType::kI8:
      return "CharStorage";
    case DType::kU8:
      return "ByteStorage";
    case DType::kBool:
      break;
  }
  return "";
}

std::vector<int64_t> ContiguousStrides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()), the storage a
// persistent id ("storage", class, key, "cpu", elements, None).
void PutTensor(const TensorView& tensor, const std::string& key, PickleText& pickle) {
  pickle.Put("ctorch._utils\n_rebuild_tensor_v2\n((");
  pickle.Text("storage");
  pickle.Put("ctorch\n");
  pickle.Put(StorageClass(tensor.dtype));
  pickle.Put("\n");
  pickle.Text(key);
  pickle.Text("cpu");
  pickle.Number(tensor.elements());
  pickle.Put("NtQ");
  pickle.Number(0);
  pickle.Tuple(tensor.shape);
  pickle.Tuple(ContiguousStrides(tensor.shape));
  pickle.Put(
      "\x89"
      "ccollections\nOrderedDict\n)RtR");
}

}  // namespace

Status WriteTorchFile(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, TensorView>>& tensors) {
  PickleText state, keys;
  state.Put("ccollections\nOrderedDict\n)R(");
  keys.Put("](");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    if (StorageClass(tensor.dtype).empty()) {
      return Error{ErrorCode::kUnsupported, path.string() + ": " + name + " has elements of " +
                                                DTypeName(tensor.dtype) +
                                                ", which are not written for PyTorch"};
    }
    state.Text(name);
    PutTensor(tensor, std::to_string(i), state);
    keys.Text(std::to_string(i));
  }
  state.Put("u");
  keys.Put("e");
  BERTIE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  for (const std::string_view part : {kMagic, kProtocol}) {
    BERTIE_RETURN_IF_ERROR(file.Write(part));
  }
  for (const std::string& part : {SystemInfo(), state.Finish(), keys.Finish()}) {
    BERTIE_RETURN_IF_ERROR(file.Write(std::string_view(part)));
  }
  for (const auto& [name, tensor] : tensors) {
    const int64_t elements = tensor.elements();
    BERTIE_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(&elements, 1))));
    BERTIE_RETURN_IF_ERROR(file.Write(std::span(tensor.data, tensor.bytes())));
  }
  return file.Commit();
}

}  // namespace bertie::formats
