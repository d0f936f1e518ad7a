#include "formats/torchscript.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/quote.h"
#include "formats/mapped_parse.h"
#include "formats/pickle.h"
#include "formats/torch_tensors.h"
#include "formats/zip.h"

namespace bertie::formats {
namespace {

using Bytes = std::span<const std::byte>;

// bert-large's code has some 0.5 MB where it is all in one method.
constexpr uint64_t kMaxCodeBytes = uint64_t{8} << 20;
constexpr uint64_t kMaxAllCodeBytes = uint64_t{32} << 20;
constexpr uint64_t kMaxVersionBytes = 32;
constexpr size_t kMaxModuleDepth = 32;      // of modules in modules
constexpr size_t kMaxAttributes = 1 << 17;  // with their paths; BERT-large has some 2,500
constexpr size_t kMaxAttributeNameBytes = 256;

// The archive's one top folder with a slash; absent where there is none.
std::optional<std::string> TopFolder(const ZipArchive& archive) {
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    const std::string_view rest = std::string_view(name).substr(slash + 1);
    if (rest == "constants.pkl" || rest == "model.json" || rest.starts_with("code/")) {
      return name.substr(0, slash + 1);
    }
  }
  return std::nullopt;
}

// Fit for messages and for comparing with names in the code.
bool IsPrintable(std::string_view text) {
  return text.size() <= 4 * kMaxAttributeNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// An attribute's name becomes a part of a path.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxAttributeNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '.'; });
}

class ArchiveReader {
 public:
  ArchiveReader(const ZipArchive& archive, std::string top, const std::string& where)
      : archive_(archive), top_(std::move(top)), where_(where) {}

  Result<TorchScriptFile> Read(uint64_t file_bytes) {
    file_bytes_ = file_bytes;
    if (Has("model.json")) {
      return Error{ErrorCode::kUnsupported,
                   where_ +
                       ": found model.json, so the archive is of PyTorch 1.2 or older; load "
                       "and save it with PyTorch 1.3 or later"};
    }
    BERTIE_RETURN_IF_ERROR(CheckByteOrder());
    BERTIE_RETURN_IF_ERROR(ReadVersion());
    BERTIE_RETURN_IF_ERROR(ReadModules());
    BERTIE_RETURN_IF_ERROR(ReadConstants());
    BERTIE_RETURN_IF_ERROR(ReadCode());
    BERTIE_RETURN_IF_ERROR(ReadTracedInputs());
    file_.storage = std::make_shared<std::vector<std::shared_ptr<const void>>>(std::move(copies_));
    return std::move(file_);
  }

 private:
  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, where_ + ": " + what};
  }
  bool Has(const std::string& name) const { return archive_.entries().contains(top_ + name); }

  Status CheckByteOrder() const {
    if (!Has("byteorder")) return {};
    BERTIE_ASSIGN_OR_RETURN(const std::string order,
                            archive_.ReadText(top_ + "byteorder", kMaxVersionBytes));
    if (order == "little") return {};
    return Error{ErrorCode::kUnsupported,
                 where_ + ": found the byte order " + Quote(order) + ", expected 'little'"};
  }

  // "3\n" in version, or .data/version since PyTorch 2.
  Status ReadVersion() {
    const std::string name = Has("version") ? "version" : ".data/version";
    if (!Has(name)) return Bad("an archive without the member version");
    BERTIE_ASSIGN_OR_RETURN(const std::string text,
                            archive_.ReadText(top_ + name, kMaxVersionBytes));
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), file_.version);
    if (error != std::errc() || file_.version < 1 || std::string_view(end) != "\n") {
      return Bad("the member " + name + " holds " + Quote(text) + ", expected a number");
    }
    return {};
  }

  Result<Pickle> ReadMember(const std::string& name) const {
    if (!Has(name)) return Bad("an archive without the member " + name);
    BERTIE_ASSIGN_OR_RETURN(const Bytes bytes, archive_.Read(top_ + name));
    return ReadPickle(bytes, where_ + ": " + name, {}, PickleKind::kScriptModule);
  }

  // The storages of NAME.pkl are NAME/0, NAME/1, ...
  TorchTensors Tensors(const std::string& folder) const {
    return {where_, file_bytes_, [this, folder](const PickleStorage& storage) {
              return archive_.Read(top_ + folder + storage.key);
            }};
  }

  // ---- the tree of modules

  Status ReadModules() {
    BERTIE_ASSIGN_OR_RETURN(const Pickle pickle, ReadMember("data.pkl"));
    TorchTensors tensors = Tensors("data/");
    BERTIE_RETURN_IF_ERROR(ReadModule(*pickle.root, "", 0, tensors));
    copies_.push_back(tensors.copies());
    return {};
  }

  Status ReadModule(const PickleValue& value, const std::string& path, size_t depth,
                    TorchTensors& tensors) {
    const auto* object = value.As<PickleValue::Object>();
    if (object == nullptr) return Bad("data.pkl is not a module");
    const auto* state = object->state == nullptr ? nullptr : object->state->As<PickleValue::Dict>();
    if (state == nullptr) return Bad("the module " + Quote(path, 200) + " has no attributes");
    // A module may stand in several places, or in itself: so both are bounded.
    if (depth > kMaxModuleDepth) return Over("modules in each other", kMaxModuleDepth);
    if (!IsPrintable(object->type)) {
      return Bad("the module " + Quote(path, 200) + " is of the class " + Quote(object->type, 200) +
                 ", expected a name");
    }
    file_.modules[path] = object->type;
    for (const auto& [key, attribute] : state->items) {
      const auto* name = key->As<std::string>();
      if (name == nullptr || !IsPlainName(*name)) {
        return Bad("the module " + Quote(path, 200) + " has an attribute without a plain name");
      }
      if (++attributes_ > kMaxAttributes) return Over("attributes", kMaxAttributes);
      BERTIE_RETURN_IF_ERROR(
          ReadAttribute(*attribute, path.empty() ? *name : path + "." + *name, depth, tensors));
    }
    return {};
  }

  Status ReadAttribute(const PickleValue& value, const std::string& path, size_t depth,
                       TorchTensors& tensors) {
    if (value.As<PickleValue::Object>() != nullptr) {
      return ReadModule(value, path, depth + 1, tensors);
    }
    if (const auto* tensor = value.As<PickleTensor>()) {
      BERTIE_ASSIGN_OR_RETURN(file_.tensors[path], tensors.View(path, *tensor));
    } else if (const auto scalar = Scalar(value)) {
      file_.scalars[path] = *scalar;
    }
    return {};  // lists, tuples and dicts: no BERT has one that matters
  }

  static std::optional<ScriptScalar> Scalar(const PickleValue& value) {
    if (value.As<PickleValue::None>()) return ScriptScalar();
    if (const auto* flag = value.As<bool>()) return *flag;
    if (const auto* integer = value.As<int64_t>()) return *integer;
    if (const auto* number = value.As<double>()) return *number;
    if (const auto* text = value.As<std::string>()) return *text;
    return std::nullopt;
  }

  Error Over(const std::string& what, size_t limit) const {
    return {ErrorCode::kResourceExhausted,
            where_ + ": data.pkl has more than " + std::to_string(limit) + " " + what};
  }

  // ---- constants.pkl: a tuple

  Status ReadConstants() {
    BERTIE_ASSIGN_OR_RETURN(const Pickle pickle, ReadMember("constants.pkl"));
    const auto* tuple = pickle.root->As<PickleValue::Tuple>();
    if (tuple == nullptr) return Bad("constants.pkl is not a tuple");
    TorchTensors tensors = Tensors("constants/");
    for (const PickleRef item : tuple->items) {
      ScriptConstant constant;
      if (const auto* tensor = item->As<PickleTensor>()) {
        const std::string name = "CONSTANTS.c" + std::to_string(file_.constants.size());
        BERTIE_ASSIGN_OR_RETURN(constant.tensor, tensors.View(name, *tensor));
        constant.is_tensor = true;
      } else if (const auto scalar = Scalar(*item)) {
        constant.scalar = *scalar;
      }
      file_.constants.push_back(std::move(constant));
    }
    copies_.push_back(tensors.copies());
    return {};
  }

  // ---- code/**.py; the .debug_pkl beside them say where the code came from

  Status ReadCode() {
    const std::string folder = top_ + "code/";
    uint64_t total = 0;
    for (auto entry = archive_.entries().lower_bound(folder);
         entry != archive_.entries().end() && entry->first.starts_with(folder); ++entry) {
      if (!entry->first.ends_with(".py")) continue;
      if (!IsPrintable(entry->first)) {
        return Bad("the member " + Quote(entry->first, 200) + " has no plain name");
      }
      BERTIE_ASSIGN_OR_RETURN(
          std::string text,
          archive_.ReadText(entry->first, std::min(kMaxCodeBytes, kMaxAllCodeBytes - total)));
      total += text.size();
      file_.code.emplace(entry->first.substr(folder.size()), std::move(text));
    }
    return file_.code.empty() ? Bad("an archive without code/*.py") : Status();
  }

  // ---- traced_inputs.pkl: {"forward": [tensor, ...]}

  Status ReadTracedInputs() {
    if (!Has("traced_inputs.pkl")) return {};
    BERTIE_ASSIGN_OR_RETURN(const Pickle pickle, ReadMember("traced_inputs.pkl"));
    const auto* dict = pickle.root->As<PickleValue::Dict>();
    const PickleRef forward = dict == nullptr ? nullptr : FindItem(*dict, "forward");
    const auto* inputs = forward == nullptr ? nullptr : forward->As<PickleValue::List>();
    if (inputs == nullptr) return {};
    for (const PickleRef input : inputs->items) {
      const auto* tensor = input->As<PickleTensor>();
      file_.traced_inputs.push_back(tensor == nullptr ? Shape() : tensor->shape);
    }
    return {};
  }

  const ZipArchive& archive_;
  const std::string top_;
  const std::string& where_;
  uint64_t file_bytes_ = 0;
  size_t attributes_ = 0;
  std::vector<std::shared_ptr<const void>> copies_;
  TorchScriptFile file_;
};

}  // namespace

Result<TorchScriptFile> TorchScriptFile::Parse(Bytes bytes, const std::string& where) {
  if (!ZipArchive::Sniff(bytes)) {
    return Error{ErrorCode::kInvalidData,
                 where + ": found " +
                     Quote(AsText(bytes.first(std::min<size_t>(bytes.size(), 8)))) +
                     " at its beginning, expected a TorchScript archive (a zip)"};
  }
  BERTIE_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Parse(bytes, where));
  const std::optional<std::string> top = TopFolder(archive);
  if (!top) {
    return Error{ErrorCode::kInvalidData,
                 where +
                     ": a zip archive without constants.pkl and code/, expected one by "
                     "torch.jit.save"};
  }
  return ArchiveReader(archive, *top, where).Read(bytes.size());
}

Result<TorchScriptFile> TorchScriptFile::Open(const std::filesystem::path& path) {
  return ParseMapped<TorchScriptFile>(path);
}

bool TorchScriptFile::Sniff(const std::filesystem::path& path) {
  const auto mapped = MappedFile::Open(path);
  if (!mapped.ok() || !ZipArchive::Sniff((*mapped)->bytes())) return false;
  const auto archive = ZipArchive::Parse((*mapped)->bytes(), path.string());
  return archive.ok() && TopFolder(*archive).has_value();
}

// kProducedFileFormatVersion and its history in PyTorch's caffe2/serialize/versions.h. Versions 4
// to 7 are for archives with certain operators.
std::string TorchReleases(int64_t archive_version) {
  if (archive_version <= 1) return "1.3";
  if (archive_version == 2) return "1.4 or 1.5";
  if (archive_version <= 7) return "1.6 to 1.11";
  if (archive_version <= 9) return "1.11";
  return "1.12 or later";
}

}  // namespace bertie::formats
