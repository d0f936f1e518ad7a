#include <map>
#include <string>
#include <vector>

#include "cli/reference/completion.h"

namespace bertie::cli {
namespace {

constexpr const char* kBegin = R"(# bash completion of bertie, made by `bertie completion bash`.

_bertie() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  # bash takes "--flag=value" for three words.
  if [[ $cur == '=' ]]; then
    cur=
  elif [[ $prev == '=' ]] && ((COMP_CWORD > 1)); then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
)";

constexpr const char* kEnd = R"(  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  fi
}

# Without an answer of ours: names of files.
complete -o bashdefault -o default -F _bertie bertie
)";

// One branch of a `case`: the patterns that share what is done.
std::string Branch(const std::vector<std::string>& patterns, const std::string& then) {
  std::string text = "    ";
  for (size_t i = 0; i < patterns.size(); ++i) {
    text += (i > 0 ? " | \\\n    " : "") + ("'" + patterns[i]) + "'";
  }
  return text + ")\n      " + then + "\n      ;;\n";
}

// Which command the words before the cursor name.
std::string FindCommand(const CommandText& program) {
  std::vector<std::string> paths;
  for (const CommandText* command : Flatten(program)) {
    if (command != &program) paths.push_back(command->full_name());
  }
  return "  local command=" + program.name() +
         " words='' i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"$command ${COMP_WORDS[i]}\" in\n" +
         Branch(paths, "command+=\" ${COMP_WORDS[i]}\"") + "    esac\n  done\n";
}

// After a flag that takes a value.
std::string CompleteValues(const CommandText& program) {
  std::map<std::string, std::vector<std::string>> by_choices;
  std::vector<std::string> files, others;
  for (const CommandText* command : Flatten(program)) {
    for (const FlagText& flag : command->flags) {
      if (flag.placeholder.empty() || flag.optional_value) continue;
      for (const std::string& name : flag.names) {
        const std::string pattern = command->full_name() + " " + name;
        if (flag.takes_path()) {
          files.push_back(pattern);
        } else if (flag.choices.empty()) {
          others.push_back(pattern);
        } else {
          by_choices[CLI::detail::join(flag.choices, " ")].push_back(pattern);
        }
      }
    }
  }
  std::string text = "  case \"$command $prev\" in\n";
  for (const auto& [choices, patterns] : by_choices) {
    text += Branch(patterns, "words='" + choices + "'");
  }
  text += Branch(files, "return");
  text += Branch(others, "compopt +o default +o bashdefault\n      return");
  // Of a list with commas the last one is completed.
  return text +
         "  esac\n"
         "  if [[ -n $words ]]; then\n"
         "    mapfile -t COMPREPLY < <(\n"
         "      compgen -P \"${cur%\"${cur##*,}\"}\" -W \"$words\" -- \"${cur##*,}\")\n"
         "    return\n"
         "  fi\n";
}

std::string CompleteWords(const CommandText& program) {
  std::string text = "  case \"$command ${cur:0:1}\" in\n";
  for (const CommandText* command : Flatten(program)) {
    std::vector<std::string> flags;
    for (const FlagText& flag : command->flags) {
      flags.insert(flags.end(), flag.names.begin(), flag.names.end());
    }
    text += Branch({command->full_name() + " -"}, "words='" + CLI::detail::join(flags, " ") + "'");
  }
  text += "  esac\n  if [[ $cur != -* ]]; then\n    case $command in\n";
  for (const CommandText* command : Flatten(program)) {
    std::vector<std::string> words = CommandNames(*command);
    for (const FlagText& positional : command->positionals) {
      words.insert(words.end(), positional.choices.begin(), positional.choices.end());
    }
    if (words.empty()) continue;
    text += Branch({command->full_name()}, "words='" + CLI::detail::join(words, " ") + "'");
  }
  return text + "    esac\n  fi\n";
}

}  // namespace

std::vector<std::string> CommandNames(const CommandText& command) {
  std::vector<std::string> names;
  for (const CommandText& below : command.commands) names.push_back(below.name());
  return names;
}

std::string BashCompletion(const CommandText& program) {
  return kBegin + FindCommand(program) + CompleteValues(program) + CompleteWords(program) + kEnd;
}

}  // namespace bertie::cli
