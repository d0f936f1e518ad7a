#include "cli/sagemaker/job.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <new>
#include <system_error>

#include "base/directory.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/sagemaker/config.h"
#include "cli/sagemaker/data.h"
#include "cli/sagemaker/flags.h"
#include "cli/train/flags.h"
#include "cli/train/job.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// The notebook that docs/training.md names trains with this script; its recipe stands in it, not
// in hyperparameters.
constexpr const char* kNotebookScript = "train_deploy.py";

void Say(const std::string& line) { std::cout << "bertie: " << line << std::endl; }

// What the user's program would have been, and what is taken from it.
std::vector<std::string> FlagsForProgram(const SageMakerConfig& config,
                                         const std::vector<std::string>& flags) {
  const std::string program = config.Setting("program");
  if (program.empty()) return flags;
  const std::string source = config.Setting("submit_directory");
  std::string line = "the program " + program + (source.empty() ? "" : " in " + source) +
                     " is not run: bertie trains by itself. ";
  if (fs::path(program).filename() != kNotebookScript) {
    Say(line + "Nothing is taken from it; hyperparameters are flags of `bertie train`");
    return flags;
  }
  Say(line +
      "By its name it is taken for the CoLA notebook's: --recipe cola-notebook, 2 epochs and "
      "--pytorch-bin, unless hyperparameters say otherwise");
  std::vector<std::string> all = {"--recipe=cola-notebook", "--pytorch-bin"};
  const auto sets_epochs = [](const std::string& flag) { return flag.starts_with("--epochs="); };
  if (std::none_of(flags.begin(), flags.end(), sets_epochs)) all.emplace_back("--epochs=2");
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

// The one place where a job on several hosts is told of the others: by the variables that the
// SageMaker toolkit sets, whether or not it ran before (comm/launch.h reads them, after RANK,
// WORLD_SIZE and the like). Hosts are ranked by their sorted names.
void NameHosts(const SageMakerConfig& config) {
  const auto rank = std::find(config.hosts.begin(), config.hosts.end(), config.current_host) -
                    config.hosts.begin();
  Say("host " + config.current_host + ", rank " + std::to_string(rank) + " of " +
      std::to_string(config.hosts.size()));
  setenv("SM_HOSTS", formats::DumpJson(formats::Json(config.hosts)).c_str(), 1);
  setenv("SM_CURRENT_HOST", config.current_host.c_str(), 1);
}

Result<TrainJob> Parse(const std::vector<std::string>& flags, CLI::App& app,
                       const std::function<Result<TrainJob>()>& make_job) {
  std::vector<std::string> reversed(flags.rbegin(), flags.rend());  // as CLI11 takes them
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return Error{ErrorCode::kInvalidArgument, std::string("hyperparameters: ") + error.what()};
  }
  return make_job();
}

Result<TrainJob> Prepare(const SageMakerPaths& paths, const SageMakerConfig& config) {
  CLI::App app("", "train");
  const auto make_job = AddTrainFlags(app);
  NamedFiles named;
  BERTIE_ASSIGN_OR_RETURN(std::vector<std::string> flags,
                          ToFlags(config.hyperparameters, app, named));
  BERTIE_ASSIGN_OR_RETURN(const ChannelFiles files, FindChannelFiles(config.channels, named));
  flags = FlagsForProgram(config, flags);
  flags.push_back("--train=" + files.train.string());
  if (!files.test.empty()) flags.push_back("--test=" + files.test.string());
  std::string line = "bertie train";
  for (const std::string& flag : flags) line += " " + flag;
  Say("runs as: " + line);
  BERTIE_ASSIGN_OR_RETURN(TrainJob job, Parse(flags, app, make_job));
  BERTIE_ASSIGN_OR_RETURN(const fs::path model, FindChannelModel(config.channels, named));
  job.model = model.string();
  job.out = paths.model.string();
  job.archive = false;  // the platform packs the folder
  job.report = (paths.output_data / "report.html").string();
  job.tensorboard = (paths.output / "tensorboard").string();
  job.container_log = true;
  // A spot machine that was taken away comes back with the checkpoints.
  const fs::path checkpoints = paths.base / "checkpoints";
  std::error_code error;
  if (job.checkpoints.folder.empty() && fs::is_directory(checkpoints, error)) {
    job.checkpoints.folder = checkpoints.string();
    job.checkpoints.resume = true;
  }
  // The hosts of a job have a network of their own.
  if (std::getenv("BERTIE_RANK_TOKEN") == nullptr) job.ranks.insecure = true;
  return job;
}

Result<int> Run(const SageMakerPaths& paths) {
  BERTIE_ASSIGN_OR_RETURN(const SageMakerConfig config, ReadSageMakerConfig(paths));
  const std::string name = config.Setting("job_name");
  Say("SageMaker training job" + (name.empty() ? "" : " " + name) + ", configuration in " +
      paths.config().string());
  NameHosts(config);
  BERTIE_ASSIGN_OR_RETURN(TrainJob job, Prepare(paths, config));
  BERTIE_RETURN_IF_ERROR(MakeFolders(paths.output_data));
  return ExecuteTrainJob(std::move(job));
}

// An earlier failure is the cause, this one its consequence.
void LeaveFailure(const SageMakerPaths& paths, const std::string& reason) {
  const fs::path file = paths.output / "failure";
  std::error_code ignored;
  if (fs::exists(file, ignored)) return;
  fs::create_directories(paths.output, ignored);
  if (Status status = WriteFileAtomically(file, reason + "\n"); !status.ok()) {
    std::cerr << "bertie: warning: " << status.error().message << std::endl;
  }
}

int Fail(const SageMakerPaths& paths, const Error& error) {
  LeaveFailure(paths, error.message);
  return ReportError(error);
}

}  // namespace

bool IsSageMakerTraining(const std::vector<std::string>& arguments) {
  std::error_code error;
  return arguments == std::vector<std::string>{"train"} &&
         fs::is_directory(SageMakerPaths::FromEnvironment().config(), error);
}

int RunSageMakerJob() {
  const SageMakerPaths paths = SageMakerPaths::FromEnvironment();
  try {
    const Result<int> code = Run(paths);
    if (!code.ok()) return Fail(paths, code.error());
    if (*code != kExitOk) return *code;
  } catch (const std::bad_alloc&) {
    return Fail(paths, {ErrorCode::kResourceExhausted, "out of memory"});
  }
  const Status status = WriteFileAtomically(paths.output / "success", "");
  return status.ok() ? kExitOk : Fail(paths, status.error());
}

std::vector<std::string> ServeArguments(const std::vector<std::string>& arguments) {
  std::error_code error;
  if (arguments != std::vector<std::string>{"serve"}) return arguments;
  // A container with several models is told of each by requests.
  const char* several = std::getenv("SAGEMAKER_MULTI_MODEL");
  if (several && std::string(several) == "true") return {"serve", "--host", "0.0.0.0"};
  const fs::path model = SageMakerPaths::FromEnvironment().model;
  if (!fs::exists(model / "config.json", error)) return arguments;
  return {"serve", model.string(), "--host", "0.0.0.0"};
}

}  // namespace bertie::cli
