// The commands as pages for people.
#pragma once

#include <string>

#include "cli/reference/command_tree.h"

namespace bertie::cli {

// Every command and flag on one page of Markdown: docs/reference.md.
std::string ReferencePage(const CommandText& program);

// One man page in man(7)'s macros: the program's own, or that of one of its commands with the
// commands below it. date: "2026-11-28".
std::string ManPage(const CommandText& program, const CommandText& command,
                    const std::string& version, const std::string& date);

}  // namespace bertie::cli
