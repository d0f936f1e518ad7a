#include "formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/quote.h"
#include "formats/json.h"

namespace bertie::formats {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are used as they lie in the file");

constexpr uint64_t kLengthBytes = 8;
// BERT-large has some 400 tensors and 50 kB of header.
constexpr uint64_t kMaxHeaderBytes = uint64_t{16} << 20;
// About 25,000 tensors; with it a header within the limit costs at most some 30 MiB of memory.
constexpr int64_t kMaxHeaderValues = 1 << 18;
constexpr size_t kMaxDimensions = 16;

std::optional<DType> ParseDType(std::string_view name) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI64,
                           DType::kI32, DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    if (name == DTypeName(type)) return type;
  }
  return std::nullopt;
}

// One entry of the header on its way to becoming a view.
struct Entry {
  std::string name;
  TensorView view;
  uint64_t begin = 0;
  uint64_t end = 0;
};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, const std::string& where)
      : bytes_(bytes), where_(where) {}

  Result<SafetensorsFile> Read() {
    BERTIE_ASSIGN_OR_RETURN(const Json header, ReadHeader());
    SafetensorsFile file;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        BERTIE_RETURN_IF_ERROR(ReadMetadata(value, file.metadata));
      } else {
        BERTIE_ASSIGN_OR_RETURN(Entry entry, ReadEntry(name, value));
        entries.push_back(std::move(entry));
      }
    }
    BERTIE_RETURN_IF_ERROR(CheckLayout(entries));
    for (Entry& entry : entries) {
      entry.view.data = data_.data() + entry.begin;
      file.tensors.emplace(std::move(entry.name), std::move(entry.view));
    }
    return file;
  }

 private:
  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, where_ + ": not a safetensors file: " + what};
  }

  Error BadTensor(const std::string& name, const std::string& what) const {
    return Bad("tensor " + Quote(name) + ": " + what);
  }

  Result<Json> ReadHeader() {
    if (bytes_.size() < kLengthBytes) {
      return Bad("found " + std::to_string(bytes_.size()) + " bytes, expected at least 8");
    }
    uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), kLengthBytes);
    if (length > kMaxHeaderBytes) {
      return Bad("found a header of " + std::to_string(length) + " bytes, expected at most " +
                 std::to_string(kMaxHeaderBytes));
    }
    if (length > bytes_.size() - kLengthBytes) {
      return Bad("found a header of " + std::to_string(length) + " bytes in a file of " +
                 std::to_string(bytes_.size()));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                                static_cast<size_t>(length));
    if (!text.starts_with('{')) {
      return Bad("the header begins with " + Quote(text.substr(0, 1)) + ", expected '{'");
    }
    data_ = bytes_.subspan(kLengthBytes + static_cast<size_t>(length));
    JsonLimits limits;
    limits.max_depth = 4;
    limits.max_values = kMaxHeaderValues;
    limits.duplicate_keys = DuplicateKeys::kRefuse;
    return ParseJson(text, where_ + ": header", limits);
  }

  Status ReadMetadata(const Json& value, std::map<std::string, std::string>& metadata) const {
    if (!value.is_object()) {
      return Bad(std::string("__metadata__ is ") + JsonTypeName(value) + ", expected an object");
    }
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        return Bad("__metadata__ " + Quote(key) + " is " + JsonTypeName(text) +
                   ", expected a string");
      }
      metadata[key] = text.get<std::string>();
    }
    return {};
  }

  Result<Entry> ReadEntry(const std::string& name, const Json& value) const {
    if (!value.is_object()) {
      return BadTensor(name, std::string("is ") + JsonTypeName(value) + ", expected an object");
    }
    const auto dtype = value.find("dtype");
    const auto shape = value.find("shape");
    const auto offsets = value.find("data_offsets");
    if (value.size() != 3 || dtype == value.end() || shape == value.end() ||
        offsets == value.end()) {
      return BadTensor(name, "expected the members dtype, shape and data_offsets, no others");
    }
    Entry entry;
    entry.name = name;
    if (!dtype->is_string()) {
      return BadTensor(name,
                       std::string("dtype is ") + JsonTypeName(*dtype) + ", expected a string");
    }
    const std::optional<DType> type = ParseDType(dtype->get_ref<const std::string&>());
    if (!type) {
      return Error{ErrorCode::kUnsupported, where_ + ": tensor " + Quote(name) + ": element type " +
                                                Quote(dtype->get_ref<const std::string&>()) +
                                                " is not supported"};
    }
    entry.view.dtype = *type;
    BERTIE_ASSIGN_OR_RETURN(entry.view.shape, ReadShape(name, *shape));
    BERTIE_ASSIGN_OR_RETURN(const uint64_t expected, ByteCount(name, entry.view));
    if (!offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned()) {
      return BadTensor(name, "data_offsets is not a pair of integers from 0 up");
    }
    entry.begin = (*offsets)[0].get<uint64_t>();
    entry.end = (*offsets)[1].get<uint64_t>();
    if (entry.begin > entry.end || entry.end > data_.size()) {
      return BadTensor(name, "data_offsets [" + std::to_string(entry.begin) + ", " +
                                 std::to_string(entry.end) + "] leave the " +
                                 std::to_string(data_.size()) + " bytes of data");
    }
    if (entry.end - entry.begin != expected) {
      return BadTensor(name, "data_offsets hold " + std::to_string(entry.end - entry.begin) +
                                 " bytes, " + DTypeName(*type) + " " +
                                 ShapeString(entry.view.shape) + " needs " +
                                 std::to_string(expected));
    }
    return entry;
  }

  Result<Shape> ReadShape(const std::string& name, const Json& value) const {
    if (!value.is_array() || value.size() > kMaxDimensions) {
      return BadTensor(
          name, "shape is not an array of at most " + std::to_string(kMaxDimensions) + " sizes");
    }
    Shape shape;
    for (const Json& size : value) {
      if (!size.is_number_unsigned() ||
          size.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
        return BadTensor(name, "a size in shape is not an integer from 0 up");
      }
      shape.push_back(static_cast<int64_t>(size.get<uint64_t>()));
    }
    return shape;
  }

  // The bytes that shape and dtype ask for. The product is checked size by size, also where a
  // later size is 0, so that nobody who multiplies the sizes meets an overflow.
  Result<uint64_t> ByteCount(const std::string& name, const TensorView& view) const {
    int64_t count = static_cast<int64_t>(DTypeSize(view.dtype));
    bool empty = false;
    for (const int64_t size : view.shape) {
      if (size == 0) {
        empty = true;
      } else if (__builtin_mul_overflow(count, size, &count)) {
        return BadTensor(name, "shape " + ShapeString(view.shape) + " overflows");
      }
    }
    return empty ? 0 : static_cast<uint64_t>(count);
  }

  // The tensors, in order of their offsets, cover the data exactly.
  Status CheckLayout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != covered) {
        return BadTensor(entry.name,
                         std::string(entry.begin < covered ? "overlaps the one before it"
                                                           : "leaves a hole before it") +
                             ": begins at " + std::to_string(entry.begin) + ", expected " +
                             std::to_string(covered));
      }
      covered = entry.end;
    }
    if (covered != data_.size()) {
      return Bad("the tensors end at byte " + std::to_string(covered) +
                 " of the data, but it has " + std::to_string(data_.size()));
    }
    return {};
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  const std::string& where_;
};

}  // namespace

Result<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  BERTIE_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapped, MappedFile::Open(path));
  BERTIE_ASSIGN_OR_RETURN(SafetensorsFile file, Parse(mapped->bytes(), path.string()));
  // A copy that is still being written would show here before its missing pages are touched.
  BERTIE_RETURN_IF_ERROR(mapped->CheckUnchanged());
  file.storage = std::move(mapped);
  return file;
}

Result<SafetensorsFile> SafetensorsFile::Parse(std::span<const std::byte> bytes,
                                               const std::string& where) {
  return HeaderReader(bytes, where).Read();
}

Status WriteSafetensors(const std::filesystem::path& path,
                        const std::vector<SafetensorsEntry>& entries,
                        const std::map<std::string, std::string>& metadata) {
  // Written by hand, since the order of the entries is the caller's and not the names'.
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + DumpJson(Json(metadata));
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : entries) {
    if (!names.insert(name).second || name == "__metadata__") {
      return Error{ErrorCode::kInternal, path.string() + ": tensor " + Quote(name) +
                                             " given twice, or named as the format's own entry"};
    }
    if (header.size() > 1) header += ',';
    const uint64_t end = offset + tensor.bytes();
    header += DumpJson(Json(name)) + ":{\"dtype\":\"" + DTypeName(tensor.dtype) +
              "\",\"shape\":" + DumpJson(Json(tensor.shape)) + ",\"data_offsets\":[" +
              std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += '}';
  header.append((64 - (header.size() + 8) % 64) % 64, ' ');
  const uint64_t length = header.size();

  BERTIE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  BERTIE_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(&length, 1))));
  BERTIE_RETURN_IF_ERROR(file.Write(header));
  for (const SafetensorsEntry& entry : entries) {
    BERTIE_RETURN_IF_ERROR(file.Write({entry.tensor.data, entry.tensor.bytes()}));
  }
  return file.Commit();
}

}  // namespace bertie::formats
