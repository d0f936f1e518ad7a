// The subcommands. Each Add* registers one with the parser; its callback writes exit_code.
#pragma once

#include <CLI/CLI.hpp>

#include "base/status.h"

namespace bertie::cli {

// Exit codes of the program.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;        // the work failed: bad file, full disk, ...
inline constexpr int kExitUsage = 2;          // wrong flags
inline constexpr int kExitInterrupted = 130;  // ended cleanly by Ctrl-C

void AddTrain(CLI::App& app, int& exit_code);
void AddEval(CLI::App& app, int& exit_code);
void AddPredict(CLI::App& app, int& exit_code);
void AddPull(CLI::App& app, int& exit_code);
void AddModels(CLI::App& app, int& exit_code);
void AddInfo(CLI::App& app, int& exit_code);
void AddData(CLI::App& app, int& exit_code);
void AddCompile(CLI::App& app, int& exit_code);
void AddServe(CLI::App& app, int& exit_code);
void AddBench(CLI::App& app, int& exit_code);
void AddTokenize(CLI::App& app, int& exit_code);
void AddCloud(CLI::App& app, int& exit_code);
void AddAccelerator(CLI::App& app, int& exit_code);
void AddDoctor(CLI::App& app, int& exit_code);
// completion, and man and reference, which --help does not show.
void AddReference(CLI::App& app, int& exit_code);

// Prints "bertie: <message>" to stderr; returns kExitUsage for kInvalidArgument, else kExitFailure.
int ReportError(const Error& error);

}  // namespace bertie::cli
