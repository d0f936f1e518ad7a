#include "cli/reference/command_tree.h"

#include <algorithm>
#include <sstream>

namespace bertie::cli {
namespace {

// "1 - 1024]" as "1 to 1024".
std::string RangeWords(std::string range) {
  if (range.ends_with(']')) range.pop_back();
  if (const size_t dash = range.find(" - "); dash != std::string::npos) {
    range.replace(dash, 3, " to ");
  }
  return range;
}

std::vector<std::string> SplitChoices(const std::string& list) {
  std::vector<std::string> choices;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) choices.push_back(word);
  return choices;
}

// CLI11 gives a type and its checks as one text: "UINT:INT in [1 - 1024]", "TEXT:{auto,on}",
// "INT:INT >= 1", "HOST:PORT,...".
void ReadType(const std::string& type, FlagText& flag) {
  flag.placeholder = type;
  if (const size_t at = type.find(":{"); at != std::string::npos && type.ends_with('}')) {
    flag.choices = SplitChoices(type.substr(at + 2, type.size() - at - 3));
    flag.placeholder = type.substr(0, at);
  }
  for (const std::string number : {"INT", "UINT", "FLOAT"}) {
    if (const size_t at = type.find(":" + number + " in ["); at != std::string::npos) {
      flag.bounds = RangeWords(type.substr(at + number.size() + 6));
      flag.placeholder = type.substr(0, at);
    }
    if (const size_t at = type.find(":" + number + " >= "); at != std::string::npos) {
      flag.bounds = "from " + type.substr(at + number.size() + 5);
      flag.placeholder = type.substr(0, at);
    }
  }
  if (flag.placeholder == "INT" || flag.placeholder == "UINT") flag.placeholder = "N";
  if (flag.placeholder == "FLOAT") flag.placeholder = "X";
  if (flag.placeholder.starts_with('[') && flag.placeholder.ends_with(']')) {
    flag.placeholder = flag.placeholder.substr(1, flag.placeholder.size() - 2);
  }
  if (flag.placeholder.empty()) flag.placeholder = "VALUE";
}

FlagText DescribeFlag(const CLI::Option& option, bool positional) {
  FlagText flag;
  if (!positional) {
    for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  } else {
    flag.names.push_back(option.get_name(true));
  }
  flag.heading = option.get_group();
  flag.help = option.get_description();
  flag.default_value = option.get_default_str();
  flag.environment = option.get_envname();
  flag.required = option.get_required();
  for (const CLI::Option* other : option.get_excludes()) {
    flag.excludes.push_back(other->get_name());
  }
  std::sort(flag.excludes.begin(), flag.excludes.end());  // CLI11 has them by address
  if (option.get_items_expected_max() == 0) return flag;
  ReadType(option.get_type_name(), flag);
  flag.optional_value = option.get_expected_min() == 0;
  flag.repeated = option.get_items_expected_max() > 1;
  return flag;
}

CommandText DescribeCommand(const CLI::App& app, std::vector<std::string> path,
                            const std::string& notes_above) {
  CommandText command;
  path.push_back(app.get_name());
  command.path = path;
  command.help = app.get_description();
  // Commands inherit the notes of those above where they have none.
  if (app.get_footer() != notes_above) command.notes = app.get_footer();
  command.needs_command = app.get_require_subcommand_min() > 0;
  for (const std::string& group : app.get_groups()) {
    if (group.empty()) continue;
    for (const CLI::Option* option :
         app.get_options([&group](const CLI::Option* one) { return one->get_group() == group; })) {
      // An option may be both: DATA, or --train DATA.
      if (option->nonpositional()) command.flags.push_back(DescribeFlag(*option, false));
      if (option->get_positional()) command.positionals.push_back(DescribeFlag(*option, true));
    }
  }
  for (const CLI::App* below : app.get_subcommands([](const CLI::App* one) {
         return !one->get_name().empty() && !one->get_group().empty();
       })) {
    command.commands.push_back(DescribeCommand(*below, path, app.get_footer()));
  }
  return command;
}

void AppendAll(const CommandText& command, std::vector<const CommandText*>& list) {
  list.push_back(&command);
  for (const CommandText& below : command.commands) AppendAll(below, list);
}

}  // namespace

bool FlagText::takes_path() const {
  if (!choices.empty()) return false;
  // CLI11 calls TEXT what has no name of its own, as most files and folders here have.
  for (const char* word : {"TEXT", "FILE", "DIR", "PATH", "MODEL"}) {
    if (placeholder.find(word) != std::string::npos) return true;
  }
  return false;
}

std::string CommandText::full_name(const char* between) const {
  return CLI::detail::join(path, between);
}

std::string CommandText::usage() const {
  std::string text = full_name() + " [OPTIONS]";
  for (const FlagText& positional : positionals) {
    const std::string name =
        positional.names.front() + (positional.repeated ? std::string("...") : std::string());
    text += positional.required ? " " + name : " [" + name + "]";
  }
  if (!commands.empty()) text += needs_command ? " COMMAND" : " [COMMAND]";
  return text;
}

CommandText DescribeCommands(const CLI::App& app) { return DescribeCommand(app, {}, ""); }

std::vector<const CommandText*> Flatten(const CommandText& command) {
  std::vector<const CommandText*> list;
  AppendAll(command, list);
  return list;
}

std::string WithPlaceholder(const FlagText& flag, const std::string& name) {
  if (flag.placeholder.empty()) return name;
  return name + (flag.optional_value ? " [" + flag.placeholder + "]" : " " + flag.placeholder);
}

std::string Sentence(const std::string& text) {
  return text.empty() || text.ends_with('.') ? text : text + ".";
}

std::string Brief(const std::string& help) {
  const size_t end = help.find("; ");
  return end == std::string::npos ? help : help.substr(0, end);
}

}  // namespace bertie::cli
