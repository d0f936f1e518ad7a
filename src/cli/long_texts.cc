#include "cli/long_texts.h"

#include <vector>

#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

constexpr const char* kWindows = "windows";

}  // namespace

CLI::Option* AddLongTextFlags(CLI::App& command, LongTextFlags& flags, const LongTextForm& form) {
  std::vector<std::string> modes = {"cut", kWindows};
  if (form.refuse) modes.push_back("refuse");
  CLI::Option* const mode =
      command
          .add_option("--long-texts", flags.mode,
                      "What becomes of longer texts: cut, or read whole in overlapping windows of "
                      "that many tokens" +
                          std::string(form.refuse ? ", or refused with 400" : ""))
          ->check(CLI::IsMember(modes))
          ->type_name("HOW")
          ->capture_default_str()
          ->group(form.group);
  CLI::Option* const stride =
      command
          .add_option(
              "--stride", flags.stride,
              "Tokens that neighbouring windows share [a quarter of the text's in a window]")
          ->check(CLI::Range(0, 1'000'000))
          ->type_name("N")
          ->group(form.group);
  if (form.environment) {
    mode->envname("BERTIE_LONG_TEXTS");
    stride->envname("BERTIE_STRIDE");
  }
  if (!form.pool) return mode;
  CLI::Option* const pool =
      command
          .add_option("--pool", flags.pool,
                      "Logits of a text in windows: the mean, in which every token counts once, or "
                      "each label's max [mean]")
          ->check(CLI::IsMember({"mean", "max"}))
          ->type_name("HOW")
          ->group(form.group);
  if (form.environment) pool->envname("BERTIE_POOL");
  return mode;
}

Result<serve::LongTextOptions> ToLongTextOptions(const LongTextFlags& flags) {
  serve::LongTextOptions options;
  if (flags.mode == "refuse") options.mode = serve::LongTexts::kRefuse;
  if (flags.mode == kWindows) options.mode = serve::LongTexts::kWindows;
  if (options.mode != serve::LongTexts::kWindows && (flags.stride || flags.pool)) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(flags.stride ? "--stride" : "--pool") +
                     " is of texts in windows; give --long-texts windows too"};
  }
  options.stride = flags.stride;
  if (flags.pool) options.pooling = *model::ParsePooling(*flags.pool);
  return options;
}

Status CheckStride(const serve::LongTextOptions& options, size_t max_length) {
  if (options.mode != serve::LongTexts::kWindows) return {};
  const Status windows = text::CheckWindows({.max_length = max_length, .stride = options.stride});
  if (windows.ok()) return {};
  return Error{ErrorCode::kInvalidArgument, "--stride: a text " + windows.error().message};
}

}  // namespace bertie::cli
