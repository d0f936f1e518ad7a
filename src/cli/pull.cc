// bertie pull ID: a model from a hub into the cache.
#include <memory>
#include <string>

#include "base/figures.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "hub/hub.h"
#include "model/checkpoint.h"
#include "model/compiled_file.h"

namespace bertie::cli {
namespace {

struct PullFlags {
  std::string model;
  std::string revision;
  bool json = false;
};

// What to type next: a model with a head answers, another is trained first.
std::string Next(const hub::Pulled& pulled, const std::string& word) {
  if (!model::IsCompiled(pulled.dir)) {
    const auto checkpoint = model::LoadCheckpoint(pulled.dir);
    if (!checkpoint.ok()) return "";
    if (!checkpoint->missing.empty()) return "next: bertie train DATA --model " + word + "\n";
  }
  return "next: bertie predict " + word + " TEXT\n";
}

Result<std::string> RunPull(const PullFlags& flags) {
  hub::ModelName name = hub::ParseModelName(flags.model);
  if (!flags.revision.empty()) name.revision = flags.revision;
  BERTIE_ASSIGN_OR_RETURN(const hub::Settings settings, hub::FromEnvironment());
  BERTIE_ASSIGN_OR_RETURN(const hub::Pulled pulled, PullModel(settings, name, flags.json));
  if (flags.json) {
    return Dump(OrderedJson{{"id", name.id},
                            {"revision", name.revision},
                            {"commit", pulled.commit},
                            {"path", pulled.dir.string()},
                            {"files", pulled.files},
                            {"bytes", pulled.bytes},
                            {"fetched_bytes", pulled.fetched}}) +
           "\n";
  }
  const std::string word =
      ShellWord(name.id + (name.revision == "main" ? "" : "@" + name.revision));
  std::string text = name.id + " " + name.revision;
  if (name.revision != pulled.commit) text += " (" + pulled.commit.substr(0, 12) + ")";
  text += ": " + std::to_string(pulled.files) + " files, " + FormatMegabytes(pulled.bytes) +
          (pulled.fetched == 0 ? ", all here already"
                               : ", " + FormatMegabytes(pulled.fetched) + " fetched now") +
          "\n" + pulled.dir.string() + "\n";
  return text + Next(pulled, word);
}

}  // namespace

void AddPull(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command = app.add_subcommand("pull", "Fetch a model from the Hugging Face hub");
  command
      ->add_option("ID", flags->model,
                   "The model's name: bert-base-uncased, ORGANISATION/NAME, or either @REVISION")
      ->required()
      ->type_name("");
  command->add_option("--revision", flags->revision, "A branch, a tag or a commit [main]")
      ->type_name("R");
  command->add_flag("--json", flags->json, "Print one JSON object, and no progress");
  command->footer(
      "Fetches config.json, the weights (safetensors where there are any), the tokenizer's files\n"
      "and the README and licence, checks their hashes, and keeps them where Hugging Face's "
      "Python\n"
      "library does, so that neither fetches what the other has. What was interrupted goes on "
      "where\n"
      "it stopped. No code of a model is ever run.\n"
      "\n"
      "Every command that takes a model's folder takes its name too, and pulls what is not here.\n"
      "\n"
      "Environment: HF_ENDPOINT (a mirror), HF_TOKEN (private and gated models), HF_HOME or\n"
      "HF_HUB_CACHE (where to keep them), HF_HUB_OFFLINE=1 (never ask), https_proxy,\n"
      "SSL_CERT_FILE.\n"
      "\n"
      "Examples:\n"
      "  bertie pull bert-base-uncased\n"
      "  bertie pull textattack/bert-base-uncased-SST-2 --revision main\n"
      "  HF_TOKEN=hf_... bertie pull my-company/spam-filter@v2");
  command->callback([flags, &exit_code] {
    const Result<std::string> text = RunPull(*flags);
    exit_code = text.ok() ? PrintAnswer(*text) : ReportError(text.error());
  });
}

}  // namespace bertie::cli
