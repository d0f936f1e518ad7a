#include "formats/torch_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/quote.h"
#include "formats/mapped_parse.h"
#include "formats/pickle.h"
#include "formats/torch_tensors.h"
#include "formats/zip.h"

namespace bertie::formats {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are used as they lie in the file");

using Bytes = std::span<const std::byte>;

// torch/serialization.py: MAGIC_NUMBER 0x1950a86a20f9469cfc6c and PROTOCOL_VERSION.
constexpr std::string_view kMagicNumber("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kLegacyProtocol = 1001;

Error Bad(const std::string& where, const std::string& what) {
  return {ErrorCode::kInvalidData, where + ": " + what};
}

// Turns a pickle's state dict into views.
class StateDictReader {
 public:
  StateDictReader(const std::string& where, uint64_t file_bytes,
                  TorchTensors::FindStorage find_storage)
      : where_(where), tensors_(where, file_bytes, std::move(find_storage)) {}

  Result<TorchFile> Read(const Pickle& pickle) {
    const PickleValue::Dict* dict = FindStateDict(pickle.root);
    if (dict == nullptr) {
      return Bad(where_, "found no tensors, expected a dict of names to tensors (a state dict)");
    }
    TorchFile file;
    for (const auto& [key, value] : dict->items) {
      const auto* name = key->As<std::string>();
      const auto* tensor = value->As<PickleTensor>();
      if (name == nullptr || tensor == nullptr) continue;
      BERTIE_ASSIGN_OR_RETURN(file.tensors[*name], tensors_.View(*name, *tensor));
    }
    file.storage = tensors_.copies();
    return file;
  }

 private:
  static bool HasTensors(const PickleValue::Dict& dict) {
    return std::any_of(dict.items.begin(), dict.items.end(), [](const auto& item) {
      return item.first->template As<std::string>() && item.second->template As<PickleTensor>();
    });
  }

  static const PickleValue::Dict* FindStateDict(PickleRef root) {
    const auto* dict = root->As<PickleValue::Dict>();
    if (dict == nullptr || HasTensors(*dict)) return dict;
    const PickleRef inner = FindItem(*dict, "state_dict");
    const auto* inner_dict = inner == nullptr ? nullptr : inner->As<PickleValue::Dict>();
    return inner_dict != nullptr && HasTensors(*inner_dict) ? inner_dict : nullptr;
  }

  const std::string& where_;
  TorchTensors tensors_;
};

// The zip form: NAME/data.pkl, and each storage as NAME/data/KEY.
Result<TorchFile> ParseZip(Bytes bytes, const std::string& where) {
  BERTIE_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Parse(bytes, where));
  std::optional<std::string> folder;
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    const std::string_view rest = std::string_view(name).substr(slash + 1);
    if (rest == "constants.pkl" || rest.starts_with("code/")) {
      return Error{ErrorCode::kUnsupported,
                   where + ": found a TorchScript module, expected a state dict"};
    }
    if (rest == "data.pkl") folder = name.substr(0, slash + 1);
  }
  if (!folder) return Bad(where, "a zip archive without data.pkl, expected one by torch.save");
  if (archive.entries().contains(*folder + "byteorder")) {
    BERTIE_ASSIGN_OR_RETURN(const Bytes order, archive.Read(*folder + "byteorder"));
    if (AsText(order) != "little") {
      return Error{ErrorCode::kUnsupported, where + ": found the byte order " +
                                                Quote(AsText(order)) + ", expected 'little'"};
    }
  }
  const std::string pickle_name = *folder + "data.pkl";
  BERTIE_ASSIGN_OR_RETURN(const Bytes text, archive.Read(pickle_name));
  BERTIE_ASSIGN_OR_RETURN(const Pickle pickle, ReadPickle(text, where + ": " + pickle_name));
  return StateDictReader(where, bytes.size(),
                         [&](const PickleStorage& storage) {
                           return archive.Read(*folder + "data/" + storage.key);
                         })
      .Read(pickle);
}

// The form before PyTorch 1.6: five pickles (magic number, protocol version, the writer's machine,
// the object, the storages' keys in order), then for each key a 64-bit count of elements and the
// elements themselves.
class LegacyReader {
 public:
  LegacyReader(Bytes bytes, const std::string& where) : rest_(bytes), where_(where) {}

  Result<TorchFile> Read() {
    const uint64_t file_bytes = rest_.size();
    BERTIE_RETURN_IF_ERROR(CheckMagicNumber());
    BERTIE_RETURN_IF_ERROR(CheckProtocol());
    BERTIE_RETURN_IF_ERROR(CheckMachine());
    BERTIE_ASSIGN_OR_RETURN(const Pickle object, NextPickle("the object"));
    BERTIE_RETURN_IF_ERROR(ReadStorages(object));
    return StateDictReader(where_, file_bytes,
                           [this](const PickleStorage& storage) { return FindStorage(storage); })
        .Read(object);
  }

 private:
  Result<Pickle> NextPickle(const std::string& what) {
    BERTIE_ASSIGN_OR_RETURN(Pickle pickle, ReadPickle(rest_, where_ + ": " + what));
    rest_ = rest_.subspan(pickle.consumed);
    return pickle;
  }

  Status CheckMagicNumber() {
    BERTIE_ASSIGN_OR_RETURN(const Pickle magic, NextPickle("magic number"));
    const auto* number = magic.root->As<PickleValue::BigInteger>();
    if (number != nullptr && number->bytes == kMagicNumber) return {};
    return Bad(where_, "a pickle without PyTorch's magic number; expected a file by torch.save");
  }

  Status CheckProtocol() {
    BERTIE_ASSIGN_OR_RETURN(const Pickle protocol, NextPickle("protocol version"));
    const auto* version = protocol.root->As<int64_t>();
    if (version != nullptr && *version == kLegacyProtocol) return {};
    return Error{ErrorCode::kUnsupported, where_ + ": found PyTorch's protocol version " +
                                              (version ? std::to_string(*version) : "(none)") +
                                              ", expected " + std::to_string(kLegacyProtocol)};
  }

  Status CheckMachine() {
    BERTIE_ASSIGN_OR_RETURN(const Pickle machine, NextPickle("system information"));
    const auto* dict = machine.root->As<PickleValue::Dict>();
    const PickleRef little = dict == nullptr ? nullptr : FindItem(*dict, "little_endian");
    if (little != nullptr && little->As<bool>() && *little->As<bool>()) return {};
    return Error{ErrorCode::kUnsupported, where_ + ": was not written by a little-endian machine"};
  }

  // The file tells the elements' type only in the object's persistent ids.
  Status ReadStorages(const Pickle& object) {
    std::map<std::string, DType> types;
    for (const PickleValue& value : object.values) {
      if (const auto* storage = value.As<PickleStorage>()) {
        const auto [known, fresh] = types.emplace(storage->key, storage->dtype);
        if (!fresh && known->second != storage->dtype) {
          return Bad(where_, "storage " + Quote(storage->key) + " has two element types");
        }
      }
    }
    BERTIE_ASSIGN_OR_RETURN(const Pickle keys, NextPickle("the storages' keys"));
    const auto* list = keys.root->As<PickleValue::List>();
    if (list == nullptr) return Bad(where_, "the storages' keys are not a list");
    for (const PickleRef item : list->items) {
      const auto* key = item->As<std::string>();
      const auto type = key == nullptr ? types.end() : types.find(*key);
      if (type == types.end()) {
        return Bad(where_, "the list of storages has a key that the object does not use");
      }
      BERTIE_ASSIGN_OR_RETURN(const Bytes data, NextStorage(*key, type->second));
      if (!storages_.emplace(*key, data).second) {
        return Bad(where_, "the storage " + Quote(*key) + " comes twice");
      }
    }
    return {};
  }

  Result<Bytes> NextStorage(const std::string& key, DType type) {
    int64_t elements = 0;
    if (rest_.size() < sizeof(elements)) {
      return Bad(where_, "the file ends before storage " + Quote(key));
    }
    std::memcpy(&elements, rest_.data(), sizeof(elements));
    rest_ = rest_.subspan(sizeof(elements));
    if (elements < 0 || static_cast<uint64_t>(elements) > rest_.size() / DTypeSize(type)) {
      return Bad(where_, "storage " + Quote(key) + ": found " + std::to_string(elements) +
                             " elements of " + DTypeName(type) + ", but the file has only " +
                             std::to_string(rest_.size()) + " bytes left");
    }
    const Bytes data = rest_.first(static_cast<size_t>(elements) * DTypeSize(type));
    rest_ = rest_.subspan(data.size());
    return data;
  }

  Result<Bytes> FindStorage(const PickleStorage& storage) const {
    const auto found = storages_.find(storage.key);
    if (found != storages_.end()) return found->second;
    return Bad(where_, "the file has no storage " + Quote(storage.key));
  }

  Bytes rest_;
  const std::string& where_;
  std::map<std::string, Bytes> storages_;
};

}  // namespace

Result<TorchFile> TorchFile::Open(const std::filesystem::path& path) {
  return ParseMapped<TorchFile>(path);
}

Result<TorchFile> TorchFile::Parse(std::span<const std::byte> bytes, const std::string& where) {
  if (ZipArchive::Sniff(bytes)) return ParseZip(bytes, where);
  // Every pickle that torch.save writes begins with the operation PROTO.
  if (!bytes.empty() && bytes[0] == std::byte{0x80}) return LegacyReader(bytes, where).Read();
  return Bad(where, "found " + Quote(AsText(bytes.first(std::min<size_t>(bytes.size(), 8)))) +
                        " at its beginning, expected a file by torch.save");
}

}  // namespace bertie::formats
