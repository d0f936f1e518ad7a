// Answers on stdout, and warnings on stderr.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::cli {

// Writes all of it to stdout at once, past iostreams' buffers. kCancelled when the reader has gone
// (a closed pipe, as behind `| head`): nothing to complain about, but no use to go on. kIo, with
// the system's reason, for a full disk and the like.
Status WriteStdout(std::string_view text);

// From here on a write to a pipe without a reader fails instead of ending the process.
void IgnoreBrokenPipes();

// "bertie: warning: <message>" to stderr.
void Warn(const std::string& message);

// WriteStdout for a command's whole answer: the exit code, an error being reported.
int PrintAnswer(std::string_view text);

// JSON for people and scripts alike: members stay in the order they were added.
using OrderedJson = nlohmann::ordered_json;

// One line (indent < 0) or indented. Invalid UTF-8 becomes U+FFFD, NaN null.
std::string Dump(const OrderedJson& json, int indent = -1);

// The text as one word of a shell's command line: quoted where it must be.
std::string ShellWord(const std::string& text);

}  // namespace bertie::cli
