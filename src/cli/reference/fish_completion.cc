#include <string>

#include "cli/reference/completion.h"

namespace bertie::cli {
namespace {

std::string FishQuoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string FishFlag(const FlagText& flag) {
  std::string text;
  for (const std::string& name : flag.names) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!flag.choices.empty()) {
    text += " -x -a " + FishQuoted(CLI::detail::join(flag.choices, " "));
  } else if (!flag.placeholder.empty()) {
    text += flag.takes_path() ? (flag.optional_value ? " -F" : " -r -F") : " -x";
  }
  return text + " -d " + FishQuoted(Brief(flag.help)) + "\n";
}

std::string FishCommand(const CommandText& command) {
  const std::string begin = "complete -c bertie -n '__bertie_in " + command.full_name() + "'";
  std::string text;
  for (const CommandText& below : command.commands) {
    text += begin + " -f -a " + below.name() + " -d " + FishQuoted(below.help) + "\n";
  }
  for (const FlagText& positional : command.positionals) {
    if (positional.choices.empty()) continue;
    text += begin + " -f -a " + FishQuoted(CLI::detail::join(positional.choices, " ")) + "\n";
  }
  for (const FlagText& flag : command.flags) text += begin + FishFlag(flag);
  return text;
}

}  // namespace

std::string FishCompletion(const CommandText& program) {
  std::string text =
      "# fish completion of bertie, made by `bertie completion fish`.\n\n"
      "# Whether the words so far name this command.\n"
      "function __bertie_in\n"
      "    set -l command bertie\n"
      "    for word in (commandline -opc)[2..-1]\n"
      "        switch \"$command $word\"\n"
      "            case";
  for (const CommandText* command : Flatten(program)) {
    if (command != &program) text += " '" + command->full_name() + "'";
  }
  text +=
      "\n"
      "                set command \"$command $word\"\n"
      "        end\n"
      "    end\n"
      "    test \"$command\" = \"$argv\"\n"
      "end\n\n";
  for (const CommandText* command : Flatten(program)) text += FishCommand(*command);
  return text;
}

}  // namespace bertie::cli
