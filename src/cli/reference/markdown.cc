#include <string>
#include <vector>

#include "cli/reference/pages.h"

namespace bertie::cli {
namespace {

// As text in a cell of a table.
std::string TableCell(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|' || c == '*' || c == '_' || c == '<') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

// In a table a "|" divides cells even between backquotes, unless it is escaped.
std::string Code(const std::string& text) {
  std::string code = "`";
  for (const char c : text) code += c == '|' ? std::string("\\|") : std::string(1, c);
  return code + "`";
}

std::string FlagNames(const FlagText& flag) {
  std::string text;
  for (size_t i = 0; i < flag.names.size(); ++i) {
    const bool last = i + 1 == flag.names.size();
    text += (i > 0 ? ", " : "") + Code(last ? WithPlaceholder(flag, flag.names[i]) : flag.names[i]);
  }
  return text;
}

std::string Values(const FlagText& flag) {
  std::string text;
  for (const std::string& choice : flag.choices) text += (text.empty() ? "" : ", ") + Code(choice);
  return text + flag.bounds;
}

std::string Meaning(const FlagText& flag) {
  std::string text = TableCell(flag.help);
  const auto add = [&text](const std::string& more) { text += (text.empty() ? "" : ". ") + more; };
  if (flag.repeated) add("May be given several times");
  if (!flag.excludes.empty()) add("Not with " + Code(CLI::detail::join(flag.excludes, ", ")));
  if (!flag.environment.empty()) add("Also by " + Code("$" + flag.environment));
  return text;
}

std::string FlagRows(const std::vector<FlagText>& flags, const std::string& heading) {
  std::string text;
  for (const FlagText& flag : flags) {
    if (flag.heading != heading) continue;
    text += "| " + FlagNames(flag) + " | " + Values(flag) + " | " +
            (flag.default_value.empty() ? "" : Code(flag.default_value)) + " | " + Meaning(flag) +
            " |\n";
  }
  return text;
}

std::string FlagTables(const CommandText& command) {
  std::string text;
  std::vector<std::string> done;
  for (const FlagText& flag : command.flags) {
    if (!done.empty() && done.back() == flag.heading) continue;
    done.push_back(flag.heading);
    text += "\n" + (flag.heading == "Options" ? std::string() : "**" + flag.heading + "**\n\n") +
            "| flag | values | default | |\n|---|---|---|---|\n" +
            FlagRows(command.flags, flag.heading);
  }
  return text;
}

std::string Section(const CommandText& command) {
  std::string text = "\n## " + command.full_name() + "\n\n" + Sentence(command.help) + "\n\n    " +
                     command.usage() + "\n";
  if (!command.positionals.empty()) {
    text += "\n| argument | |\n|---|---|\n";
    for (const FlagText& positional : command.positionals) {
      text += "| " + Code(positional.names.front()) + " | " + Meaning(positional) + " |\n";
    }
  }
  text += FlagTables(command);
  if (!command.commands.empty()) {
    text += "\n| command | |\n|---|---|\n";
    for (const CommandText& below : command.commands) {
      text += "| " + Code(below.full_name()) + " | " + TableCell(below.help) + " |\n";
    }
  }
  if (!command.notes.empty()) text += "\n```\n" + command.notes + "\n```\n";
  return text;
}

}  // namespace

std::string ReferencePage(const CommandText& program) {
  std::string text =
      "# Every command and flag\n\n"
      "Made by `bertie reference` from the program's own parser, so that the two cannot differ. "
      "`bertie COMMAND --help` shows the same in the terminal, `man bertie-COMMAND` where the "
      "package is installed.\n\n"
      "A flag's value follows after a blank or after `=`. Exit codes: 0 done, 1 the work failed, 2 "
      "wrong flags, 130 ended by Ctrl-C.\n";
  for (const CommandText* command : Flatten(program)) text += Section(*command);
  return text;
}

}  // namespace bertie::cli
