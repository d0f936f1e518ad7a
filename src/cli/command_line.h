// The command that started this program, to be shown and repeated.
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

// As the shell passed them, the program's own name first. Empty where the system does not tell.
std::vector<std::string> ProgramArguments();

// One line that a POSIX shell reads back as the same words.
std::string ShellLine(const std::vector<std::string>& words);

// The arguments with `--resume` at their end, without an earlier --resume (with its value) or
// --overwrite.
std::vector<std::string> WithResume(const std::vector<std::string>& arguments);

}  // namespace bertie::cli
