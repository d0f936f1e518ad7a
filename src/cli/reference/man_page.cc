#include <cctype>
#include <string>
#include <vector>

#include "cli/reference/pages.h"

namespace bertie::cli {
namespace {

// Text that troff prints as it is: backslashes and hyphens escaped, and no line taken for a
// request.
std::string Troff(const std::string& text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Capitals(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// "bertie\-data(1)" in bold.
std::string PageName(const std::string& name) { return "\\fB" + Troff(name) + "\\fR(1)"; }

std::string FlagEntry(const FlagText& flag) {
  std::string text = ".TP\n";
  for (size_t i = 0; i < flag.names.size(); ++i) {
    text += (i > 0 ? ", " : "") + ("\\fB" + Troff(flag.names[i])) + "\\fR";
  }
  if (!flag.placeholder.empty() && flag.names.front().starts_with('-')) {
    text += flag.optional_value ? " [\\fI" + Troff(flag.placeholder) + "\\fR]"
                                : " \\fI" + Troff(flag.placeholder) + "\\fR";
  }
  std::string help = flag.help;
  const auto add = [&help](const std::string& more) { help += (help.empty() ? "" : ". ") + more; };
  if (!flag.choices.empty()) add("One of " + CLI::detail::join(flag.choices, ", "));
  if (!flag.bounds.empty()) add("Values: " + flag.bounds);
  if (flag.repeated) add("May be given several times");
  if (!flag.excludes.empty()) add("Not with " + CLI::detail::join(flag.excludes, ", "));
  if (!flag.environment.empty()) add("Also by the variable " + flag.environment);
  if (!flag.default_value.empty()) add("Default: " + flag.default_value);
  return text + "\n" + Troff(Sentence(help)) + "\n";
}

std::string FlagEntries(const CommandText& command) {
  std::string text, heading = "Options";
  for (const FlagText& positional : command.positionals) text += FlagEntry(positional);
  for (const FlagText& flag : command.flags) {
    if (flag.heading != heading) text += ".SS \"" + Troff(heading = flag.heading) + "\"\n";
    text += FlagEntry(flag);
  }
  return text;
}

std::string Notes(const CommandText& command) {
  if (command.notes.empty()) return "";
  return ".nf\n" + Troff(command.notes) + (command.notes.ends_with('\n') ? "" : "\n") + ".fi\n";
}

// The commands below, each with its flags.
std::string Below(const CommandText& command) {
  std::string text;
  for (const CommandText& below : command.commands) {
    text += ".SH \"" + Troff(Capitals(below.full_name())) + "\"\n" + Troff(Sentence(below.help)) +
            "\n.PP\n\\fB" + Troff(below.usage()) + "\\fR\n" + FlagEntries(below) +
            (below.notes.empty() ? "" : ".PP\n" + Notes(below)) + Below(below);
  }
  return text;
}

std::string CommandList(const CommandText& program) {
  std::string text = ".SH COMMANDS\n";
  for (const CommandText& command : program.commands) {
    text +=
        ".TP\n" + PageName(command.full_name("-")) + "\n" + Troff(Sentence(command.help)) + "\n";
  }
  return text;
}

std::string SeeAlso(const CommandText& program, const CommandText& command) {
  if (&program != &command) return ".SH \"SEE ALSO\"\n" + PageName(program.name()) + "\n";
  std::string text;
  for (const CommandText& one : program.commands) {
    text += (text.empty() ? "" : ",\n") + PageName(one.full_name("-"));
  }
  return ".SH \"SEE ALSO\"\n" + text + "\n";
}

}  // namespace

std::string ManPage(const CommandText& program, const CommandText& command,
                    const std::string& version, const std::string& date) {
  const bool whole = &program == &command;
  const std::string name = command.full_name("-");
  std::string text = ".TH \"" + Troff(Capitals(name)) + "\" 1 \"" + date + "\" \"" +
                     Troff(version) + "\" \"User Commands\"\n" + ".SH NAME\n" + Troff(name) +
                     " \\- " + Troff(command.help) + "\n.SH SYNOPSIS\n\\fB" +
                     Troff(command.usage()) + "\\fR\n.SH OPTIONS\n" + FlagEntries(command);
  text += whole ? CommandList(program) : Below(command);
  if (!command.notes.empty()) text += ".SH NOTES\n" + Notes(command);
  text +=
      ".SH \"EXIT STATUS\"\n.TP\n0\nThe work was done.\n.TP\n1\nThe work failed; standard error "
      "says why.\n.TP\n2\nWrong flags.\n.TP\n130\nEnded by Ctrl\\-C.\n";
  return text + SeeAlso(program, command);
}

}  // namespace bertie::cli
