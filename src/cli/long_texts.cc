#include "cli/long_texts.h"

#include <vector>

#include "cli/variables.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

constexpr const char* kWindows = "windows";
constexpr const char* kRefuse = "refuse";
constexpr const char* kLongTexts = "--long-texts";
constexpr const char* kStride = "--stride";
constexpr const char* kStrideVariable = "BERTIE_STRIDE";
constexpr const char* kPool = "--pool";
constexpr const char* kNoTruncate = "--no-truncate";

}  // namespace

void AddLongTextFlags(CLI::App& command, LongTextFlags& flags, const LongTextForm& form) {
  std::vector<std::string> modes = {"cut", kWindows};
  if (form.refuse) modes.push_back(kRefuse);
  CLI::Option* const mode =
      command
          .add_option(kLongTexts, flags.mode,
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
              kStride, flags.stride,
              "Tokens that neighbouring windows share [a quarter of the text's in a window]")
          ->check(CLI::Range(0, 1'000'000))
          ->type_name("N")
          ->group(form.group);
  if (form.environment) {
    mode->envname("BERTIE_LONG_TEXTS");
    stride->envname(kStrideVariable);
  }
  if (form.pool) {
    CLI::Option* const pool =
        command
            .add_option(kPool, flags.pool,
                        "Logits of a text in windows: the mean, in which every token counts once, "
                        "or each label's max [mean]")
            ->check(CLI::IsMember({"mean", "max"}))
            ->type_name("HOW")
            ->group(form.group);
    if (form.environment) pool->envname("BERTIE_POOL");
  }
  if (!form.refuse) return;
  command
      .add_flag(kNoTruncate, flags.no_truncate,
                "The same as --long-texts refuse; give one of the two")
      ->group(form.group);
}

void SettleLongTextFlags(const CLI::App& command, LongTextFlags& flags) {
  if (flags.no_truncate) {
    if (OnCommandLine(command, kLongTexts)) throw CLI::ExcludesError(kNoTruncate, kLongTexts);
    flags.mode = kRefuse;
  }
  if (flags.mode == kWindows) {
    if (!OnCommandLine(command, kStride)) flags.stride_name = kStrideVariable;
    return;
  }
  if (!OnCommandLine(command, kStride)) flags.stride.reset();
  if (!OnCommandLine(command, kPool)) flags.pool.reset();
}

Result<serve::LongTextOptions> ToLongTextOptions(const LongTextFlags& flags) {
  serve::LongTextOptions options;
  if (flags.mode == kRefuse) options.mode = serve::LongTexts::kRefuse;
  if (flags.mode == kWindows) options.mode = serve::LongTexts::kWindows;
  if (options.mode != serve::LongTexts::kWindows && (flags.stride || flags.pool)) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(flags.stride ? kStride : kPool) +
                     " is of texts in windows; give --long-texts windows too"};
  }
  options.stride = flags.stride;
  if (flags.pool) options.pooling = *model::ParsePooling(*flags.pool);
  return options;
}

Status CheckStride(const LongTextFlags& flags, size_t max_length) {
  if (flags.mode != kWindows) return {};
  const Status windows = text::CheckWindows({.max_length = max_length, .stride = flags.stride});
  if (windows.ok()) return {};
  return Error{ErrorCode::kInvalidArgument,
               flags.stride_name + ": a text " + windows.error().message};
}

}  // namespace bertie::cli
