// The program's commands and flags as text, read off its parser, for everything that describes
// them: reference, man pages, completions. What is hidden from --help is left out.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace bertie::cli {

struct FlagText {
  std::vector<std::string> names;  // "-m", "--model"; of a positional its one name, "MODEL"
  std::string heading;             // of its group in --help: "Limits"
  std::string help;
  std::string placeholder;           // "TEXT", "N"; empty: it takes no value
  std::vector<std::string> choices;  // the only values there are
  std::string bounds;                // "1 to 1024", "from 1"
  std::string default_value;
  std::string environment;  // the variable that gives it where it is not given
  std::vector<std::string> excludes;
  bool required = false;
  bool optional_value = false;  // the value may be left out
  bool repeated = false;        // takes several values, or may be given several times

  // Whether the value may be a file or a folder.
  bool takes_path() const;
};

struct CommandText {
  std::vector<std::string> path;  // "bertie", "data", "split"
  std::string help;
  std::string notes;  // what --help ends with, in lines
  bool needs_command = false;
  std::vector<FlagText> positionals;
  std::vector<FlagText> flags;  // by groups, in --help's order
  std::vector<CommandText> commands;

  const std::string& name() const { return path.back(); }
  std::string full_name(const char* between = " ") const;
  // "bertie data split [OPTIONS] DATA".
  std::string usage() const;
};

CommandText DescribeCommands(const CLI::App& app);

// The command and all below it, each before its own.
std::vector<const CommandText*> Flatten(const CommandText& command);

// "--model TEXT", "--resume [DIR]"; "--cased" for a flag without a value.
std::string WithPlaceholder(const FlagText& flag, const std::string& name);

// With a full stop at its end.
std::string Sentence(const std::string& text);

// The help's first clause, which says most, for completions.
std::string Brief(const std::string& help);

}  // namespace bertie::cli
