#include "model/script_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "formats/json.h"
#include "text/tokenizer.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUncasedWords = 30'522;
// Tables are sometimes made larger than the vocabulary, up to a round number.
constexpr int64_t kMaxSpareWords = 64;

bool IsPresent(const fs::path& path) {
  std::error_code ignored;
  return !path.empty() && fs::exists(path, ignored);
}

bool HasVocabulary(const fs::path& dir) {
  return !dir.empty() && (IsPresent(dir / "vocab.txt") || IsPresent(dir / "tokenizer.json"));
}

Status Copy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) return FileError(error.value(), from, "copy");
  return {};
}

// Where the vocabulary is: a file or a folder.
Result<fs::path> FindVocabulary(const std::string& archive, int64_t words,
                                const std::vector<fs::path>& beside, const ScriptOptions& options) {
  if (!options.vocabulary.empty()) {
    if (IsPresent(options.vocabulary)) return options.vocabulary;
    return Error{ErrorCode::kNotFound, "--vocab " + options.vocabulary.string() + " is not there"};
  }
  for (const fs::path& folder : beside) {
    if (HasVocabulary(folder)) return folder;
  }
  if (words == kUncasedWords) {
    const fs::path found = options.default_vocabulary();
    if (HasVocabulary(found)) return found;
  }
  return Error{ErrorCode::kNotFound,
               archive +
                   ": a TorchScript archive has no vocabulary, and there is no vocab.txt or "
                   "tokenizer.json beside it" +
                   (words == kUncasedWords ? " nor a bert-base-uncased in the caches" : "") +
                   "; give the one the model was trained with (" + std::to_string(words) +
                   " words): --vocab FILE or --vocab FOLDER"};
}

// Copies the tokenizer's files as they are.
Status CopyVocabulary(const fs::path& from, const fs::path& dir) {
  std::error_code error;
  fs::path folder = from;
  if (!fs::is_directory(from, error)) {
    const bool json = from.extension() == ".json";
    BERTIE_RETURN_IF_ERROR(Copy(from, dir / (json ? "tokenizer.json" : "vocab.txt")));
    folder = from.parent_path().empty() ? fs::path(".") : from.parent_path();
    const std::string name = from.filename().string();
    if (name != "vocab.txt" && name != "tokenizer.json") return {};
  } else if (!HasVocabulary(from)) {
    return Error{ErrorCode::kNotFound,
                 "--vocab " + from.string() + ": holds neither vocab.txt nor tokenizer.json"};
  }
  for (const char* name : {"vocab.txt", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    if (IsPresent(folder / name) && !IsPresent(dir / name)) {
      BERTIE_RETURN_IF_ERROR(Copy(folder / name, dir / name));
    }
  }
  return {};
}

// True where a word has a capital letter; special tokens, "[CLS]", do not count.
bool HasCapitals(const text::Tokenizer& tokenizer) {
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view word = tokenizer.token(static_cast<int32_t>(id));
    if (word.starts_with('[') && word.ends_with(']')) continue;
    if (std::any_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
      return true;
    }
  }
  return false;
}

// Adds to the folder's tokenizer_config.json what the archive and the options say.
Status WriteTokenizerConfig(const fs::path& dir, const ScriptInfo& info, std::optional<bool> lower,
                            int64_t pad_to) {
  const fs::path path = dir / "tokenizer_config.json";
  formats::Json json = formats::Json::object();
  if (IsPresent(path)) {
    BERTIE_ASSIGN_OR_RETURN(json, formats::ReadJsonFile(path));
    if (!json.is_object()) json = formats::Json::object();
  }
  if (lower) json["do_lower_case"] = *lower;
  if (pad_to > 0) json["bertie_pad_to"] = pad_to;
  if (!info.takes_types) json["bertie_single_type"] = true;
  return WriteFileAtomically(path, formats::DumpJson(json, 2) + "\n");
}

// The tokenizer, with its files in dir; `said` gets what was assumed of its case.
Result<text::Tokenizer> MakeTokenizer(const fs::path& from, const ScriptBert& bert,
                                      const ScriptOptions& options, int64_t pad_to,
                                      const fs::path& dir, std::string& said) {
  BERTIE_RETURN_IF_ERROR(CopyVocabulary(from, dir));
  const bool told = IsPresent(dir / "tokenizer_config.json");
  BERTIE_RETURN_IF_ERROR(WriteTokenizerConfig(dir, bert.info, options.lower_case, pad_to));
  auto tokenizer = text::Tokenizer::Load(dir);
  if (!tokenizer.ok()) return tokenizer.error().WithContext("vocabulary " + from.string());
  if (!told && !options.lower_case) {
    const bool lower = !HasCapitals(*tokenizer);
    BERTIE_RETURN_IF_ERROR(WriteTokenizerConfig(dir, bert.info, lower, pad_to));
    BERTIE_ASSIGN_OR_RETURN(tokenizer, text::Tokenizer::Load(dir));
    said = lower ? "assumed uncased" : "assumed cased";
  } else {
    said = tokenizer->lower_case() ? "uncased" : "cased";
  }
  const auto words = static_cast<int64_t>(tokenizer->vocab_size());
  if (words > bert.config.vocab_size || words <= bert.config.vocab_size - kMaxSpareWords) {
    return Error{ErrorCode::kInvalidData, "the vocabulary " + from.string() + " has " +
                                              std::to_string(words) +
                                              " tokens; the archive has embeddings for " +
                                              std::to_string(bert.config.vocab_size) +
                                              ": give the one it was trained with (--vocab)"};
  }
  return tokenizer;
}

// Labels' names and kind of problem, of a config.json that came along.
Status TakeLabels(const std::vector<fs::path>& beside, Config& config) {
  if (beside.empty() || !IsPresent(beside[0] / "config.json")) return {};
  BERTIE_ASSIGN_OR_RETURN(const Config other, LoadConfig(beside[0] / "config.json"));
  if (other.num_labels() == config.num_labels() && !other.labels.empty()) {
    config.labels = other.labels;
    config.problem_type = other.problem_type;
  }
  return {};
}

// 0: texts as long as they are.
Result<int64_t> PadTo(const std::string& archive, const ScriptBert& bert,
                      const ScriptOptions& options, std::string& note) {
  if (!options.pad_to) {
    if (bert.info.mask.empty()) {
      note +=
          "; it takes no attention mask, so what it answers depends on the padding: --pad-to "
          "traced (or N) pads as it was traced, else texts are not padded";
    }
    return 0;
  }
  if (!bert.info.mask.empty()) {
    note += "; padding is masked and changes no answer, so --pad-to does nothing";
    return 0;
  }
  int64_t pad_to = *options.pad_to;
  if (pad_to == 0) pad_to = bert.info.length;
  if (pad_to == 0) {
    return Error{ErrorCode::kInvalidArgument,
                 archive +
                     ": does not say with how many tokens it was traced (PyTorch stores that "
                     "since 1.11); give the number: --pad-to N"};
  }
  if (pad_to < 4 || pad_to > bert.config.max_position_embeddings) {
    return Error{ErrorCode::kInvalidArgument,
                 archive + ": cannot pad to " + std::to_string(pad_to) + " tokens, expected 4 to " +
                     std::to_string(bert.config.max_position_embeddings)};
  }
  note += "; texts are padded to " + std::to_string(pad_to) + " tokens, and it attends to them";
  return pad_to;
}

}  // namespace

Result<ScriptFolder> WriteScriptFolder(const fs::path& archive, const std::vector<fs::path>& beside,
                                       const ScriptOptions& options, const fs::path& dir) {
  const std::string where = archive.string();
  BERTIE_ASSIGN_OR_RETURN(ScriptBert bert, ReadScriptBert(archive));
  BERTIE_ASSIGN_OR_RETURN(const fs::path vocabulary,
                          FindVocabulary(where, bert.config.vocab_size, beside, options));
  ScriptFolder folder;
  std::string padding, letters;
  BERTIE_ASSIGN_OR_RETURN(const int64_t pad_to, PadTo(where, bert, options, padding));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer,
                          MakeTokenizer(vocabulary, bert, options, pad_to, dir, letters));
  bert.config.pad_token_id = tokenizer.pad_id();
  BERTIE_RETURN_IF_ERROR(TakeLabels(beside, bert.config));
  BERTIE_RETURN_IF_ERROR(WriteModelFiles(dir, bert.config, bert.tensors, tokenizer));
  folder.note = "a TorchScript archive of PyTorch " + bert.info.torch + "; vocabulary from " +
                vocabulary.string() + " (" + letters + ")" + padding;
  folder.info = std::move(bert.info);
  return folder;
}

}  // namespace bertie::model
