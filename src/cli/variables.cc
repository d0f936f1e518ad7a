#include "cli/variables.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace bertie::cli {
namespace {

// CLI11 counts an option that a variable stands for as given, but not in the order of parsing.
bool CameByVariable(const CLI::App& command, const CLI::Option& option) {
  const std::vector<CLI::Option*>& given = command.parse_order();
  return !option.get_envname().empty() && option.count() > 0 &&
         std::find(given.begin(), given.end(), &option) == given.end();
}

// text: begins with CLI11's message.
void NameVariables(const CLI::App& command, std::string& text) {
  for (const CLI::Option* option : command.get_options()) {
    if (!CameByVariable(command, *option)) continue;
    for (const auto& [before, after] :
         {std::pair("", ": "), std::pair("Could not convert: ", " = ")}) {
      const std::string named = before + option->get_name() + after;
      if (!text.starts_with(named)) continue;
      text.replace(0, named.size(), before + option->get_envname() + after);
      return;
    }
  }
  for (const CLI::App* further : command.get_subcommands()) NameVariables(*further, text);
}

}  // namespace

bool OnCommandLine(const CLI::App& command, const std::string& name) {
  const std::vector<CLI::Option*>& given = command.parse_order();
  return std::any_of(given.begin(), given.end(),
                     [&name](const CLI::Option* option) { return option->check_name(name); });
}

std::string DescribeUsageError(const CLI::App* app, const CLI::Error& error) {
  std::string text = CLI::FailureMessage::simple(app, error);
  NameVariables(*app, text);
  return text;
}

}  // namespace bertie::cli
