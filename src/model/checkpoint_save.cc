#include <algorithm>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "formats/tar.h"
#include "formats/torch_file.h"
#include "model/checkpoint.h"
#include "model/weight_files.h"

namespace bertie::model {

namespace fs = std::filesystem;

Status WriteModelFiles(const fs::path& dir, const Config& config,
                       const std::vector<NamedTensor>& tensors, const text::Tokenizer& tokenizer) {
  std::vector<formats::SafetensorsEntry> entries;
  entries.reserve(tensors.size());
  for (const NamedTensor& named : tensors) entries.push_back({named.name, named.tensor});
  BERTIE_RETURN_IF_ERROR(formats::WriteSafetensors(dir / "model.safetensors", entries));
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(dir / "config.json", ConfigToJson(config)));
  return tokenizer.Save(dir, static_cast<size_t>(config.max_position_embeddings));
}

Status SaveCheckpoint(const fs::path& model_dir, const Config& config,
                      const std::vector<NamedTensor>& tensors, const text::Tokenizer& tokenizer) {
  BERTIE_ASSIGN_OR_RETURN(AtomicDirectory dir, AtomicDirectory::Create(model_dir));
  BERTIE_RETURN_IF_ERROR(WriteModelFiles(dir.path(), config, tensors, tokenizer));
  return dir.Commit(IsWeightFile);
}

Status SaveTorchWeights(const fs::path& model_dir) {
  BERTIE_ASSIGN_OR_RETURN(const formats::SafetensorsFile file,
                          formats::SafetensorsFile::Open(model_dir / "model.safetensors"));
  return formats::WriteTorchFile(model_dir / "pytorch_model.bin",
                                 {file.tensors.begin(), file.tensors.end()});
}

Status SaveArchive(const fs::path& model_dir, const fs::path& tar_gz) {
  std::vector<formats::TarEntry> entries;
  std::error_code error;
  for (fs::directory_iterator it(model_dir, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    // Hidden files are another save's unfinished ones, and the archive may stand in the folder too.
    std::error_code unreadable;
    if (it->is_regular_file(unreadable) && !name.starts_with('.') && !name.ends_with(".tar.gz")) {
      entries.push_back({name, it->path()});
    }
  }
  if (error) return FileError(error.value(), model_dir, "list");
  return formats::WriteTarGz(tar_gz, std::move(entries));
}

}  // namespace bertie::model
