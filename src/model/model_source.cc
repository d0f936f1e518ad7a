#include "model/model_source.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>
#include <vector>

#include "formats/tar.h"
#include "formats/torchscript.h"
#include "model/compiled_file.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

struct FormatName {
  SourceFormat format;
  const char* name;
};
constexpr std::array kFormats = {FormatName{SourceFormat::kSafetensors, "safetensors"},
                                 FormatName{SourceFormat::kPyTorch, "pytorch"},
                                 FormatName{SourceFormat::kTorchScript, "torchscript"},
                                 FormatName{SourceFormat::kCompiled, "compiled"}};

bool IsThere(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The form of the weights that ReadWeights takes.
std::optional<SourceFormat> FindFormat(const fs::path& dir) {
  for (const auto& [name, format] : {std::pair("model.safetensors", SourceFormat::kSafetensors),
                                     std::pair("pytorch_model.bin", SourceFormat::kPyTorch)}) {
    if (IsThere(dir / name) || IsThere(dir / (std::string(name) + ".index.json"))) return format;
  }
  if (IsCompiled(dir)) return SourceFormat::kCompiled;
  return std::nullopt;
}

bool IsScriptName(const fs::path& path) {
  return path.extension() == ".pt" || path.extension() == ".pth";
}

// The TorchScript archive of a folder; "" where it has none.
Result<fs::path> FindScript(const fs::path& dir) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unreadable;
    if (entry->is_regular_file(unreadable) && IsScriptName(entry->path())) {
      found.push_back(entry->path());
    }
  }
  if (found.empty()) return fs::path();
  for (const char* name : {"model.pt", "traced_bert.pt"}) {
    if (std::find(found.begin(), found.end(), dir / name) != found.end()) return dir / name;
  }
  if (found.size() == 1) return found[0];
  return Error{ErrorCode::kInvalidData,
               dir.string() + ": found " + std::to_string(found.size()) +
                   " files *.pt and *.pth, expected one, or one called model.pt"};
}

Result<fs::path> CheckScript(const fs::path& file) {
  if (file.empty() || formats::TorchScriptFile::Sniff(file)) return file;
  return Error{
      ErrorCode::kInvalidData,
      file.string() + ": found no TorchScript archive, expected what torch.jit.save writes"};
}

struct FoundModel {
  fs::path dir;     // of a model, or the one that has the archive
  fs::path script;  // "": none
};

// The model of a folder; absent where there is none.
Result<std::optional<FoundModel>> FindModel(const fs::path& dir) {
  const bool config = IsThere(dir / "config.json");
  if (config && FindFormat(dir)) return std::optional(FoundModel{dir, ""});
  BERTIE_ASSIGN_OR_RETURN(const fs::path script, FindScript(dir));
  if (!script.empty()) return std::optional(FoundModel{dir, script});
  if (config) return std::optional(FoundModel{dir, ""});
  return std::optional<FoundModel>();
}

// The model of an unpacked archive: at its top, or in the one folder there.
Result<FoundModel> FindInArchive(const fs::path& top, const fs::path& archive) {
  BERTIE_ASSIGN_OR_RETURN(std::optional<FoundModel> found, FindModel(top));
  if (found) return *std::move(found);
  std::error_code error;
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(top, error)) {
    if (entry.is_directory(error)) folders.push_back(entry.path());
  }
  if (folders.size() == 1) {
    BERTIE_ASSIGN_OR_RETURN(found, FindModel(folders[0]));
    if (found) return *std::move(found);
  }
  return Error{ErrorCode::kInvalidData,
               archive.string() +
                   ": found no config.json and no TorchScript archive (*.pt), expected one at the "
                   "top or in the only folder there"};
}

bool IsTarName(const std::string& name) {
  return name.ends_with(".tar.gz") || name.ends_with(".tgz");
}

}  // namespace

const char* SourceFormatName(SourceFormat format) {
  const auto found = std::find_if(kFormats.begin(), kFormats.end(),
                                  [format](const FormatName& f) { return f.format == format; });
  return found->name;
}

std::optional<SourceFormat> ParseSourceFormat(std::string_view name) {
  const auto found = std::find_if(kFormats.begin(), kFormats.end(),
                                  [name](const FormatName& f) { return name == f.name; });
  return found == kFormats.end() ? std::nullopt : std::optional(found->format);
}

std::optional<SourceFormat> ModelSource::format() const {
  return script_ ? SourceFormat::kTorchScript : FindFormat(dir_);
}

Status ModelSource::MakeFolder(const fs::path& archive, const std::vector<fs::path>& beside,
                               const ScriptOptions& options) {
  BERTIE_ASSIGN_OR_RETURN(const fs::path file, CheckScript(archive));
  BERTIE_ASSIGN_OR_RETURN(TemporaryDirectory folder, TemporaryDirectory::Create("bertie-model-"));
  BERTIE_ASSIGN_OR_RETURN(script_, WriteScriptFolder(file, beside, options, folder.path()));
  dir_ = folder.path();
  temporary_ = std::move(folder);  // and with it goes what the archive was unpacked into
  return {};
}

Result<ModelSource> ModelSource::Open(const fs::path& path, const ScriptOptions& options) {
  ModelSource source;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return Error{ErrorCode::kNotFound, path.string() + ": no such model folder or archive"};
  }
  const std::string name = path.filename().string();
  const fs::path parent = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  if (fs::is_directory(status)) {
    BERTIE_ASSIGN_OR_RETURN(const std::optional<FoundModel> found, FindModel(path));
    source.dir_ = path;
    if (found && !found->script.empty()) {
      BERTIE_RETURN_IF_ERROR(source.MakeFolder(found->script, {path}, options));
    }
  } else if (IsTarName(name)) {
    BERTIE_ASSIGN_OR_RETURN(TemporaryDirectory unpacked,
                            TemporaryDirectory::Create("bertie-model-"));
    BERTIE_RETURN_IF_ERROR(formats::ExtractTar(path, unpacked.path()));
    BERTIE_ASSIGN_OR_RETURN(const FoundModel found, FindInArchive(unpacked.path(), path));
    source.dir_ = found.dir;
    if (found.script.empty()) {
      source.temporary_ = std::move(unpacked);
    } else if (Status made = source.MakeFolder(found.script, {found.dir, parent}, options);
               !made.ok()) {
      return RenamePath(made.error(), unpacked.path().string(), path.string());
    }
  } else if (IsScriptName(path) || formats::TorchScriptFile::Sniff(path)) {
    BERTIE_RETURN_IF_ERROR(source.MakeFolder(path, {parent}, options));
  } else {
    return Error{ErrorCode::kInvalidArgument,
                 path.string() +
                     ": found a file, expected a model folder, a "
                     ".tar.gz or .tgz, or a TorchScript archive (.pt)"};
  }
  if (options.pad_to && !source.script_) {
    return Error{ErrorCode::kInvalidArgument,
                 path.string() +
                     ": --pad-to is for TorchScript archives; other models answer the "
                     "same with padding and without"};
  }
  return source;
}

Error RenamePath(const Error& error, const std::string& from, const std::string& to) {
  Error renamed{error.code, ""};
  size_t start = 0;
  for (size_t at; from != to && (at = error.message.find(from, start)) != std::string::npos;
       start = at + from.size()) {
    renamed.message += error.message.substr(start, at - start) + to;
  }
  renamed.message += error.message.substr(start);
  return renamed;
}

}  // namespace bertie::model
