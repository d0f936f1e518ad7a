#include <string>

#include "cli/reference/completion.h"

namespace bertie::cli {
namespace {

// Inside single quotes, with a backslash before those of the special characters.
std::string ZshQuoted(const std::string& text, const std::string& special) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (special.find(c) != std::string::npos) out += '\\';
    out += c;
  }
  return out;
}

// What completes a value: ":TEXT:_files", ":P:(fp32 bf16 int8)".
std::string ZshValue(const FlagText& flag) {
  std::string text =
      (flag.optional_value ? "::" : ":") + ZshQuoted(flag.placeholder, ":\\[]") + ":";
  if (!flag.choices.empty()) {
    const std::string list = CLI::detail::join(flag.choices, " ");
    return text + (flag.repeated ? "_sequence compadd - " + list : "(" + list + ")");
  }
  return text + (flag.takes_path() ? "_files" : " ");
}

std::string ZshFlag(const FlagText& flag) {
  std::string text;
  for (const std::string& name : flag.names) {
    const bool value = !flag.placeholder.empty();
    // "=": the value in the same word or the next; "-" and "+" are that for short ones.
    const char* form = !value ? "" : name.starts_with("--") ? "=" : "+";
    text += "    '" + std::string(flag.repeated ? "*" : "") + name + form + "[" +
            ZshQuoted(Brief(flag.help), "\\[]") + "]" + (value ? ZshValue(flag) : "") + "' \\\n";
  }
  return text;
}

std::string ZshFunctionName(const CommandText& command) {
  return "_" + CLI::detail::find_and_replace(command.full_name("_"), "-", "_");
}

std::string ZshCommands(const CommandText& command) {
  std::string text = "  case $state in\n    command)\n      local -a commands\n      commands=(\n";
  for (const CommandText& below : command.commands) {
    text += "        '" + below.name() + ":" + ZshQuoted(below.help, "\\:") + "'\n";
  }
  text +=
      "      )\n      _describe command commands\n      ;;\n    argument)\n      case $line[1] "
      "in\n";
  for (const CommandText& below : command.commands) {
    text += "        " + below.name() + ") " + ZshFunctionName(below) + " ;;\n";
  }
  return text + "      esac\n      ;;\n  esac\n";
}

std::string ZshFunction(const CommandText& command) {
  std::string text = ZshFunctionName(command) + "() {\n";
  const bool nested = !command.commands.empty();
  if (nested) text += "  local context state state_descr line\n  typeset -A opt_args\n";
  text += std::string("  _arguments ") + (nested ? "-C " : "") + "\\\n";
  for (const FlagText& flag : command.flags) text += ZshFlag(flag);
  for (const FlagText& positional : command.positionals) {
    const std::string value = ZshValue(positional);
    text +=
        "    '" + (positional.repeated ? "*:" + value.substr(1) : ":" + value.substr(1)) + "' \\\n";
  }
  if (nested) text += "    '1:command:->command' \\\n    '*::argument:->argument' \\\n";
  text += "    && return 0\n";
  return text + (nested ? ZshCommands(command) : "") + "}\n\n";
}

}  // namespace

std::string ZshCompletion(const CommandText& program) {
  std::string text =
      "#compdef bertie\n# zsh completion of bertie, made by `bertie completion zsh`.\n\n";
  for (const CommandText* command : Flatten(program)) text += ZshFunction(*command);
  // As a file in $fpath it is run at its first use; sourced it registers itself.
  return text +
         "if [[ $funcstack[1] == _bertie ]]; then\n  _bertie \"$@\"\nelse\n  compdef _bertie "
         "bertie\nfi\n";
}

}  // namespace bertie::cli
