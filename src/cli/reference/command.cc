// bertie completion, man and reference: the program's description of itself, for packagers.
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>

#include "base/directory.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/reference/completion.h"
#include "cli/reference/pages.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// Today; $SOURCE_DATE_EPOCH where packages are built reproducibly.
std::string PageDate() {
  const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
  const std::time_t now = epoch != nullptr && *epoch != '\0'
                              ? static_cast<std::time_t>(std::strtoll(epoch, nullptr, 10))
                              : std::time(nullptr);
  std::tm date{};
  char text[16];
  if (gmtime_r(&now, &date) == nullptr || std::strftime(text, sizeof(text), "%F", &date) == 0) {
    return "";
  }
  return text;
}

std::string PageOf(const CommandText& program, const CommandText& command) {
  return ManPage(program, command, std::string("bertie ") + BERTIE_VERSION, PageDate());
}

// NAME.1 of the program and of each of its commands.
Status WriteManPages(const CommandText& program, const fs::path& folder) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(folder / "bertie.1", PageOf(program, program)));
  for (const CommandText& command : program.commands) {
    const fs::path file = folder / (command.full_name("-") + ".1");
    BERTIE_RETURN_IF_ERROR(WriteFileAtomically(file, PageOf(program, command)));
  }
  return {};
}

struct ManFlags {
  std::string command;
  std::string out;
};

int RunMan(const CommandText& program, const ManFlags& flags) {
  if (!flags.out.empty()) {
    const Status wrote = WriteManPages(program, flags.out);
    return wrote.ok() ? kExitOk : ReportError(wrote.error());
  }
  if (flags.command.empty()) return PrintAnswer(PageOf(program, program));
  for (const CommandText& command : program.commands) {
    if (command.name() == flags.command) return PrintAnswer(PageOf(program, command));
  }
  return ReportError(
      {ErrorCode::kInvalidArgument, "found no command " + flags.command + "; expected one of " +
                                        CLI::detail::join(CommandNames(program), ", ")});
}

std::string Completion(const CommandText& program, const std::string& shell) {
  if (shell == "zsh") return ZshCompletion(program);
  return shell == "fish" ? FishCompletion(program) : BashCompletion(program);
}

void AddCompletion(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "completion", "Print the script by which a shell completes bertie's words");
  command->add_option("SHELL", *shell, "The shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "  eval \"$(bertie completion bash)\"        in ~/.bashrc\n"
      "  eval \"$(bertie completion zsh)\"         in ~/.zshrc, after compinit\n"
      "  bertie completion fish | source         in ~/.config/fish/config.fish\n"
      "The Debian package brings all three.");
  command->callback([&app, shell, &exit_code] {
    exit_code = PrintAnswer(Completion(DescribeCommands(app), *shell));
  });
}

}  // namespace

void AddReference(CLI::App& app, int& exit_code) {
  AddCompletion(app, exit_code);
  // For packages and for this project's documentation, so --help does not show them.
  constexpr const char* kHidden = "";
  auto flags = std::make_shared<ManFlags>();
  CLI::App* man = app.add_subcommand("man", "Print a man page")->group(kHidden);
  man->add_option("COMMAND", flags->command, "Of this command instead of the program")
      ->type_name("");
  man->add_option("--out", flags->out, "Write all of them into this folder")->type_name("DIR");
  man->callback([&app, flags, &exit_code] { exit_code = RunMan(DescribeCommands(app), *flags); });
  CLI::App* reference =
      app.add_subcommand("reference", "Print every command and flag as Markdown")->group(kHidden);
  reference->callback(
      [&app, &exit_code] { exit_code = PrintAnswer(ReferencePage(DescribeCommands(app))); });
}

}  // namespace bertie::cli
