#include "text/tokenizer_spec.h"

#include <system_error>
#include <utility>

#include "base/file.h"
#include "formats/json.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace bertie::text {

using formats::Json;

namespace {

constexpr uint64_t kMaxVocabularyBytes = uint64_t{64} << 20;

// A broken link or an unreadable folder counts as being there: reading it then says what is wrong.
bool IsThere(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() !=
         std::filesystem::file_type::not_found;
}

Result<Json> ReadIfThere(const std::filesystem::path& path) {
  if (!IsThere(path)) {
    return Json(nullptr);
  }
  return formats::ReadJsonFile(path);
}

Result<TokenizerConfig> ReadConfig(const std::filesystem::path& dir) {
  TokenizerConfigFiles files;
  files.dir = (dir / "").string();
  BERTIE_ASSIGN_OR_RETURN(files.tokenizer_config, ReadIfThere(dir / "tokenizer_config.json"));
  BERTIE_ASSIGN_OR_RETURN(files.special_tokens_map, ReadIfThere(dir / "special_tokens_map.json"));
  BERTIE_ASSIGN_OR_RETURN(files.added_tokens, ReadIfThere(dir / "added_tokens.json"));
  return ParseTokenizerConfig(files);
}

Result<TokenizerSpec> ReadTokenizerJson(const std::filesystem::path& path) {
  BERTIE_ASSIGN_OR_RETURN(const Json json, formats::ReadJsonFile(path));
  return ParseTokenizerJson(json, path.string());
}

Result<TokenizerSpec> ReadVocabularyFile(const std::filesystem::path& path) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxVocabularyBytes));
  TokenizerSpec spec;
  BERTIE_ASSIGN_OR_RETURN(spec.vocabulary, Vocabulary::ParseLines(text, path.string()));
  return spec;
}

}  // namespace

Result<TokenizerSpec> ReadTokenizerSpec(const std::filesystem::path& dir) {
  BERTIE_ASSIGN_OR_RETURN(const TokenizerConfig config, ReadConfig(dir));
  if (IsThere(dir / "tokenizer.json")) {
    BERTIE_ASSIGN_OR_RETURN(TokenizerSpec spec, ReadTokenizerJson(dir / "tokenizer.json"));
    ApplyTokenizerConfig(config, spec);
    return spec;
  }
  if (!IsThere(dir / "vocab.txt")) {
    return Error{ErrorCode::kNotFound,
                 dir.string() + ": holds neither tokenizer.json nor vocab.txt"};
  }
  BERTIE_ASSIGN_OR_RETURN(TokenizerSpec spec, ReadVocabularyFile(dir / "vocab.txt"));
  ApplyTokenizerConfig(config, spec);
  spec.wordpiece.unknown_token = config.special.unknown.content;
  return spec;
}

Status WriteTokenizerSpec(const TokenizerSpec& spec, const AddedTokens& added, size_t max_length,
                          const std::filesystem::path& dir) {
  std::string lines;
  for (const std::string& token : spec.vocabulary) {
    // A line cannot hold a line end; tokenizer.json has such a token, and it is read first.
    lines += token.find_first_of("\r\n") == std::string::npos ? token : "";
    lines += '\n';
  }
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(dir / "vocab.txt", lines));
  const std::pair<const char*, Json> files[] = {
      {"tokenizer.json", MakeTokenizerJson(spec, added)},
      {"tokenizer_config.json", MakeTokenizerConfig(spec, added, max_length)},
      {"special_tokens_map.json", MakeSpecialTokensMap(spec)}};
  for (const auto& [name, json] : files) {
    BERTIE_RETURN_IF_ERROR(WriteFileAtomically(dir / name, formats::DumpJson(json, 2) + "\n"));
  }
  return {};
}

}  // namespace bertie::text
