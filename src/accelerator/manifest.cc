#include "accelerator/manifest.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "base/sha256.h"
#include "model/weight_files.h"

namespace bertie::accelerator {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 1000;
constexpr uint64_t kMaxBytes = uint64_t{64} << 30;
constexpr size_t kMaxNameLength = 255;

bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameLength && name.front() != '.' &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return c < 0x20 || c == 0x7f || c == '/' || c == '\\';
         });
}

bool NameBefore(const ModelFile& a, const ModelFile& b) { return a.name < b.name; }

Error Bad(const std::string& what) { return {ErrorCode::kInvalidData, "model manifest: " + what}; }

}  // namespace

std::string ManifestText(const std::vector<ModelFile>& files) {
  std::string text;
  for (const ModelFile& file : files) {
    text += file.sha256 + " " + std::to_string(file.size) + " " + file.name + "\n";
  }
  return text;
}

std::string ContentHash(std::vector<ModelFile> files) {
  std::sort(files.begin(), files.end(), NameBefore);
  Sha256 hash;
  hash.Update(ManifestText(files));
  return hash.Finish();
}

Result<ModelManifest> MakeManifest(const fs::path& model_dir) {
  BERTIE_ASSIGN_OR_RETURN(std::vector<std::string> names, model::WeightFileNames(model_dir));
  names.emplace_back("config.json");
  ModelManifest manifest;
  for (std::string& name : names) {
    const fs::path path = model_dir / name;
    BERTIE_ASSIGN_OR_RETURN(std::string sha256, Sha256OfFile(path));
    std::error_code error;
    const uint64_t size = fs::file_size(path, error);
    if (error) return Error{ErrorCode::kIo, path.string() + ": " + error.message()};
    manifest.files.push_back({std::move(name), size, std::move(sha256)});
  }
  std::sort(manifest.files.begin(), manifest.files.end(), NameBefore);
  manifest.content_hash = ContentHash(manifest.files);
  return manifest;
}

Status CheckManifest(const ModelManifest& manifest) {
  if (manifest.files.empty() || manifest.files.size() > kMaxFiles) {
    return Bad("found " + std::to_string(manifest.files.size()) + " files; expected 1 to " +
               std::to_string(kMaxFiles));
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const ModelFile& file = manifest.files[i];
    if (!IsPlainName(file.name)) {
      return Bad("found the name " + Quote(file.name) + "; expected one without a folder");
    }
    if (i > 0 && !NameBefore(manifest.files[i - 1], file)) {
      return Bad("the name " + Quote(file.name) + " comes twice or out of byte order");
    }
    if (!IsSha256(file.sha256)) {
      return Bad(Quote(file.name) + ": found the hash " + Quote(file.sha256) +
                 "; expected 64 hexadecimal digits");
    }
    if (file.size > kMaxBytes - bytes) {
      return Bad("more than " + std::to_string(kMaxBytes >> 30) + " GiB together");
    }
    bytes += file.size;
  }
  if (const std::string hash = ContentHash(manifest.files); hash != manifest.content_hash) {
    return Bad("found the content hash " + Quote(manifest.content_hash) + "; its files give " +
               hash);
  }
  return {};
}

}  // namespace bertie::accelerator
