#include "cli/source.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <optional>

#include "base/quote.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "kernels/matmul.h"

namespace bertie::cli {
namespace {

constexpr const char* kTraced = "traced";

// 0: as it was traced.
std::optional<int64_t> ParsePadTo(const std::string& text) {
  if (text == kTraced) return 0;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && number >= 4 && number <= int64_t{1} << 17 ? std::optional(number) : std::nullopt;
}

std::string CheckPadTo(const std::string& text) {
  if (ParsePadTo(text)) return "";
  return "found " + Quote(text) + "; expected 'traced', or a number of tokens from 4";
}

void WarnOfSlowProcessor() {
  const std::string kernels = kernels::Instructions(kernels::WeightType::kF32);
  if (kernels != "sse4" && kernels != "scalar") return;
  Warn(
      "this processor has no AVX2, so everything takes several times as long; 'bertie doctor' says "
      "more");
}

}  // namespace

void AddSourceFlags(CLI::App& command, SourceFlags& flags) {
  constexpr const char* kGroup = "TorchScript archives (.pt, or in a .tar.gz)";
  command
      .add_option("--vocab", flags.vocabulary,
                  "The vocabulary, which such an archive lacks: vocab.txt, tokenizer.json or a "
                  "folder with one [beside the archive, or a cached bert-base-uncased]")
      ->group(kGroup)
      ->envname("BERTIE_VOCAB")
      ->type_name("PATH");
  command.add_flag("--cased", flags.cased, "Keep capitals [as the vocabulary's]")->group(kGroup);
  command
      .add_option(
          "--pad-to", flags.pad_to,
          "Where the trace takes no attention mask: pad texts to this many tokens, which it "
          "then attends to; traced: as many as it was traced with")
      ->group(kGroup)
      ->check(CLI::Validator(CheckPadTo, ""))
      ->type_name("N");
}

std::vector<std::string> SourceWords(const SourceFlags& flags) {
  std::vector<std::string> words;
  if (!flags.vocabulary.empty()) words.insert(words.end(), {"--vocab", flags.vocabulary});
  if (!flags.pad_to.empty()) words.insert(words.end(), {"--pad-to", flags.pad_to});
  if (flags.cased) words.emplace_back("--cased");
  return words;
}

Result<model::ModelSource> OpenSource(const std::string& model, const SourceFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(const std::filesystem::path path, ResolveModel(model));
  WarnOfSlowProcessor();
  model::ScriptOptions options;
  options.vocabulary = flags.vocabulary;
  options.default_vocabulary = FindUncasedVocabulary;
  if (flags.cased) options.lower_case = false;
  if (!flags.pad_to.empty()) options.pad_to = ParsePadTo(flags.pad_to);
  BERTIE_ASSIGN_OR_RETURN(model::ModelSource source, model::ModelSource::Open(path, options));
  if (source.script()) {
    std::cerr << "bertie: " << model << ": " << source.script()->note << std::endl;
  }
  return source;
}

}  // namespace bertie::cli
