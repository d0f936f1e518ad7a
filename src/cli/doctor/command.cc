// bertie doctor: what this machine can do for bertie, and whether a model answers on it.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/doctor/report.h"

namespace bertie::cli {
namespace {

struct DoctorFlags {
  std::string model;
  SourceFlags source;
  int threads = 0;
  bool json = false;
};

int RunDoctor(const DoctorFlags& flags) {
  Diagnosis diagnosis;
  diagnosis.facts = CollectFacts();
  if (flags.threads > 0) diagnosis.facts.threads = flags.threads;
  ThreadPool pool(diagnosis.facts.threads);
  diagnosis.speed = MeasureSpeed(diagnosis.facts, pool);
  diagnosis.advice = Advise(diagnosis.facts, diagnosis.speed);
  if (!flags.model.empty()) {
    diagnosis.model_name = flags.model;
    diagnosis.model = CheckModel(flags.model, flags.source, pool);
  }
  const int printed =
      PrintAnswer(flags.json ? Dump(DiagnosisJson(diagnosis), 2) + "\n" : DiagnosisText(diagnosis));
  return printed == kExitOk && !diagnosis.ok() ? kExitFailure : printed;
}

}  // namespace

void AddDoctor(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Look at this machine: what it can do, which precision suits it, what is amiss");
  command->add_option("MODEL", flags->model,
                      "A model to check too: its folder, a .tar.gz of one, a TorchScript archive, "
                      "or a name on the hub");
  AddSourceFlags(*command, flags->source);
  command->add_option("--threads", flags->threads, "Threads to measure with [all processors]")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(
      "Takes about three seconds. Exit code 0 unless something keeps bertie, or MODEL, from "
      "working;\n"
      "warnings are no reason. Figures are of this moment: other programs that run show in them.");
  command->callback([flags, &exit_code] { exit_code = RunDoctor(*flags); });
}

}  // namespace bertie::cli
