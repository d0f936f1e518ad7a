#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/sagemaker/job.h"
#include "cli/variables.h"

namespace bertie::cli {

int ReportError(const Error& error) {
  std::cerr << "bertie: " << error.message << std::endl;
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailure;
}

namespace {

// The command line without the program's name. Under the name `train` or `serve`, as containers
// call their programs, that command is meant.
std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const std::string name = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "";
  if (name == "train" || name == "serve") arguments.insert(arguments.begin(), name);
  return ServeArguments(arguments);
}

int Main(int argc, char** argv) {
  // Debian's gRPC comes with Abseil's checks of the order of locks, which cost each of its calls
  // the more, the more locks there are: under load more than all else that it does.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::vector<std::string> arguments = Arguments(argc, argv);
  if (IsSageMakerTraining(arguments)) return RunSageMakerJob();
  CLI::App app{"Fine-tune BERT text classifiers on ordinary CPUs, and serve them.", "bertie"};
  app.set_version_flag("--version", std::string("bertie ") + BERTIE_VERSION);
  app.require_subcommand(1);
  app.failure_message(DescribeUsageError);
  app.get_formatter()->column_width(34);

  int exit_code = kExitOk;
  AddTrain(app, exit_code);
  AddEval(app, exit_code);
  AddPredict(app, exit_code);
  AddCompile(app, exit_code);
  AddServe(app, exit_code);
  AddCloud(app, exit_code);
  AddPull(app, exit_code);
  AddModels(app, exit_code);
  AddAccelerator(app, exit_code);
  AddInfo(app, exit_code);
  AddData(app, exit_code);
  AddBench(app, exit_code);
  AddTokenize(app, exit_code);
  AddDoctor(app, exit_code);
  AddReference(app, exit_code);
  // After the commands, which would inherit it.
  app.footer(
      "Start with:  bertie train data.csv --model bert-base-uncased\n"
      "Then:        bertie serve MODEL\n"
      "Each command has its own --help.");

  try {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  } catch (const std::bad_alloc&) {
    std::cerr << "bertie: out of memory\n";
    return kExitFailure;
  }
  return exit_code;
}

}  // namespace
}  // namespace bertie::cli

int main(int argc, char** argv) {
  // Beyond ulimit -f a write then fails with EFBIG, which is reported and cleaned up after, instead
  // of ending the process.
  std::signal(SIGXFSZ, SIG_IGN);
  return bertie::cli::Main(argc, argv);
}
