// bertie tokenize MODEL: JSON lines of text in, JSON lines of token ids out.
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/long_texts.h"
#include "cli/model_argument.h"
#include "formats/json.h"
#include "model/model_source.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

using formats::Json;

struct TokenizeOptions {
  std::string model;
  size_t max_length = 0;
  LongTextFlags long_texts;
};

Error WrongLine(const std::string& what) { return {ErrorCode::kInvalidData, what}; }

// The member `name`, a string, or `name`_bytes, an array of bytes for text that is not UTF-8.
Result<std::optional<std::string>> TextField(const Json& line, const std::string& name) {
  if (const auto text = line.find(name); text != line.end()) {
    if (!text->is_string()) {
      return WrongLine(name + " is " + formats::JsonTypeName(*text) + ", expected a string");
    }
    return std::optional(text->get<std::string>());
  }
  const auto bytes = line.find(name + "_bytes");
  if (bytes == line.end()) {
    return std::optional<std::string>();
  }
  const Error not_bytes = WrongLine(name + "_bytes is not an array of integers from 0 to 255");
  if (!bytes->is_array()) {
    return not_bytes;
  }
  std::string text;
  for (const Json& byte : *bytes) {
    if (!byte.is_number_unsigned() || byte.get<uint64_t>() > 255) {
      return not_bytes;
    }
    text.push_back(static_cast<char>(byte.get<uint64_t>()));
  }
  return std::optional(std::move(text));
}

struct Line {
  std::string text;
  std::optional<std::string> pair;
};

Result<Line> ReadLine(const Json& line) {
  if (line.is_string()) return Line{line.get<std::string>(), std::nullopt};
  if (!line.is_object()) {
    return WrongLine(std::string("found ") + formats::JsonTypeName(line) +
                     ", expected a string or an object with \"text\"");
  }
  BERTIE_ASSIGN_OR_RETURN(auto text, TextField(line, "text"));
  BERTIE_ASSIGN_OR_RETURN(auto pair, TextField(line, "pair"));
  if (!text) {
    return WrongLine("\"text\" is missing");
  }
  return Line{*std::move(text), std::move(pair)};
}

Json EncodingToJson(const text::Tokenizer& tokenizer, const text::Encoding& encoding) {
  Json tokens = Json::array();
  for (const int32_t id : encoding.ids) {
    tokens.push_back(std::string(tokenizer.token(id)));
  }
  return {{"ids", encoding.ids},
          {"type_ids", encoding.type_ids},
          {"tokens", std::move(tokens)},
          {"truncated", encoding.truncated}};
}

// {"windows": [...]} of long texts in windows, else what is left of the text.
Result<Json> Answer(const text::Tokenizer& tokenizer, const Line& line, size_t max_length,
                    const serve::LongTextOptions& long_texts) {
  if (long_texts.mode != serve::LongTexts::kWindows) {
    return EncodingToJson(tokenizer, tokenizer.Encode(line.text, line.pair, max_length));
  }
  auto read = tokenizer.EncodeWindows(line.text, line.pair,
                                      {.max_length = max_length, .stride = long_texts.stride});
  if (!read.ok()) return WrongLine("the text " + read.error().message);
  Json windows = Json::array();
  for (const text::Encoding& window : read->encodings) {
    windows.push_back(EncodingToJson(tokenizer, window));
  }
  return Json{{"windows", std::move(windows)}};
}

Status Tokenize(const TokenizeOptions& options) {
  BERTIE_ASSIGN_OR_RETURN(const serve::LongTextOptions long_texts,
                          ToLongTextOptions(options.long_texts));
  if (long_texts.mode == serve::LongTexts::kWindows && options.max_length == 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "--long-texts windows is given without --max-length; expected the tokens of a "
                 "window"};
  }
  BERTIE_RETURN_IF_ERROR(CheckStride(options.long_texts, options.max_length));
  BERTIE_ASSIGN_OR_RETURN(const std::filesystem::path path, ResolveModel(options.model));
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, model::ModelSource::Open(path));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  std::string text;
  for (size_t number = 1; std::getline(std::cin, text); ++number) {
    const std::string where = "stdin:" + std::to_string(number);
    BERTIE_ASSIGN_OR_RETURN(const Json line, formats::ParseJson(text, where));
    const auto read = ReadLine(line);
    if (!read.ok()) return read.error().WithContext(where);
    const auto answer = Answer(tokenizer, *read, options.max_length, long_texts);
    if (!answer.ok()) return answer.error().WithContext(where);
    std::cout << formats::DumpJson(*answer) << '\n';
  }
  std::cout.flush();
  if (!std::cout) {
    return Error{ErrorCode::kIo, "cannot write to stdout"};
  }
  return {};
}

}  // namespace

void AddTokenize(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Show the token ids of texts");
  command->add_option("model", options->model, "Model folder")->required();
  command
      ->add_option("--max-length", options->max_length,
                   "Cut each line to so many tokens, the special ones included")
      ->check(CLI::Range(3, 1'000'000));
  AddLongTextFlags(*command, options->long_texts, {.group = "Options", .pool = false});
  command->footer(
      "Reads one JSON value a line from stdin: a string, or an object with \"text\" and perhaps "
      "\"pair\"\n(or \"text_bytes\", \"pair_bytes\": arrays of bytes). Writes a line for each, "
      "with "
      "ids, type_ids,\ntokens and truncated; with --long-texts windows a list of such, windows.");
  command->callback([options, &exit_code] {
    const Status status = Tokenize(*options);
    exit_code = status.ok() ? kExitOk : ReportError(status.error());
  });
}

}  // namespace bertie::cli
