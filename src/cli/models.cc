// bertie models: which models are here, and away with them.
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/figures.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/table.h"
#include "hub/cache.h"
#include "hub/files.h"
#include "hub/local_model.h"
#include "hub/names.h"
#include "model/checkpoint.h"
#include "model/compiled_file.h"
#include "serve/answer.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

struct Entry {
  hub::CachedRevision revision;  // of a folder in bertie's own cache: id is its name, commit is ""
  std::string kind;              // "classifier", "pretrained", "compiled", "incomplete", "not BERT"
  std::string note;              // what an incomplete one lacks, or what another kind is
  std::vector<std::string> labels;
};

void LookInto(Entry& entry) {
  const fs::path& dir = entry.revision.dir;
  if (model::IsCompiled(dir)) {
    entry.kind = "compiled";
  } else if (std::string missing = hub::MissingIn(dir); !missing.empty()) {
    entry.kind = "incomplete";
    entry.note = "lacks " + missing;
    return;
  } else {
    const auto checkpoint = model::LoadCheckpoint(dir);
    if (!checkpoint.ok()) {
      const auto config = model::LoadConfig(dir / "config.json");
      entry.kind = config.ok() ? "damaged" : "not BERT";
      entry.note = config.ok() ? checkpoint.error().message : config.error().message;
      return;
    }
    entry.kind = checkpoint->missing.empty() ? "classifier" : "pretrained";
    if (!checkpoint->missing.empty()) return;
  }
  const auto config = model::LoadConfig(dir / "config.json");
  if (!config.ok()) return;
  entry.labels =
      serve::MakeLabelScheme(config->labels, config->num_labels(), config->problem_type).labels;
}

std::vector<hub::CachedRevision> OwnFolders() {
  std::vector<hub::CachedRevision> list;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(hub::OwnModels(), error)) {
    if (!hub::IsModel(entry.path())) continue;
    std::error_code ignored;
    hub::CachedRevision folder{entry.path().filename(), "", {}, entry.path()};
    for (const auto& file : fs::recursive_directory_iterator(entry.path(), ignored)) {
      if (file.is_regular_file(ignored)) {
        folder.bytes += static_cast<int64_t>(file.file_size(ignored));
      }
    }
    list.push_back(std::move(folder));
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return list;
}

std::vector<Entry> Collect(const hub::Settings& settings) {
  std::vector<Entry> entries;
  for (auto& revision : hub::Cache(settings.cache).List())
    entries.push_back({std::move(revision), "", "", {}});
  for (auto& folder : OwnFolders()) entries.push_back({std::move(folder), "", "", {}});
  for (Entry& entry : entries) LookInto(entry);
  return entries;
}

std::string TimeText(int64_t seconds, const char* form) {
  if (seconds == 0) return "";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  std::strftime(text, sizeof(text), form, &parts);
  return text;
}

std::string Joined(const std::vector<std::string>& texts, size_t most) {
  std::string joined;
  for (size_t i = 0; i < std::min(texts.size(), most); ++i) {
    joined += (i == 0 ? "" : ", ") + OneLine(texts[i], 24);
  }
  return texts.size() > most ? joined + ", ... (" + std::to_string(texts.size()) + ")" : joined;
}

std::string ToJson(const std::vector<Entry>& entries) {
  OrderedJson list = OrderedJson::array();
  for (const Entry& entry : entries) {
    const hub::CachedRevision& revision = entry.revision;
    OrderedJson json = {{"id", revision.id},       {"commit", nullptr},
                        {"refs", revision.refs},   {"path", revision.dir.string()},
                        {"bytes", revision.bytes}, {"last_used", nullptr},
                        {"kind", entry.kind},      {"labels", entry.labels}};
    if (!revision.commit.empty()) json["commit"] = revision.commit;
    if (revision.last_used > 0) {
      json["last_used"] = TimeText(revision.last_used, "%Y-%m-%dT%H:%M:%SZ");
    }
    if (!entry.note.empty()) json["note"] = entry.note;
    list.push_back(std::move(json));
  }
  return Dump(list, 2) + "\n";
}

std::string ToText(const std::vector<Entry>& entries, const hub::Settings& settings) {
  if (entries.empty()) {
    return "no models in " + settings.cache.string() + " or " + hub::OwnModels().string() +
           "\nget one: bertie pull bert-base-uncased\n";
  }
  Table table({"model", "revision", "size", "last used", "kind", "labels"});
  table.AlignRight({2});
  for (const Entry& entry : entries) {
    const hub::CachedRevision& revision = entry.revision;
    const std::string commit = revision.commit.substr(0, 12);
    table.Add({OneLine(revision.id, 60), revision.refs.empty() ? commit : Joined(revision.refs, 2),
               FormatMegabytes(revision.bytes), TimeText(revision.last_used, "%Y-%m-%d %H:%M"),
               entry.kind, entry.note.empty() ? Joined(entry.labels, 4) : OneLine(entry.note, 60)});
  }
  return table.ToString();
}

struct RemoveFlags {
  std::string model;
  bool yes = false;
};

// True for "y" and "yes" on the terminal.
bool Agreed(const std::string& question) {
  std::cerr << question << " [y/N] " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

Result<std::string> RunRemove(const RemoveFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(const hub::Settings settings, hub::FromEnvironment());
  const hub::ModelName name = hub::ParseModelName(flags.model);
  const std::string revision = flags.model == name.id ? "" : name.revision;
  const hub::Cache cache(settings.cache);
  BERTIE_RETURN_IF_ERROR(hub::CheckModelId(name.id));
  if (!revision.empty()) BERTIE_RETURN_IF_ERROR(hub::CheckRevision(revision));
  std::error_code error;
  if (!fs::is_directory(cache.RepoDir(name.id), error)) {
    const fs::path own = hub::OwnModels() / flags.model;
    return Error{ErrorCode::kNotFound,
                 hub::IsModel(own) ? own.string() + " is a folder of your own: remove it with rm -r"
                                   : "no model " + name.id + " in " + settings.cache.string() +
                                         "; bertie models lists what is there"};
  }
  if (!flags.yes) {
    if (isatty(STDIN_FILENO) != 1) {
      return Error{ErrorCode::kInvalidArgument,
                   "not asked on a terminal: give --yes to remove " + flags.model};
    }
    if (!Agreed("Remove " + flags.model + " from " + settings.cache.string() + "?")) {
      return std::string("nothing removed\n");
    }
  }
  BERTIE_ASSIGN_OR_RETURN(const hub::Removed removed, cache.Remove(name.id, revision));
  return "removed " + flags.model + ": " + std::to_string(removed.revisions) +
         (removed.revisions == 1 ? " revision, " : " revisions, ") +
         FormatMegabytes(removed.bytes) + " freed\n";
}

void AddRemove(CLI::App& models, int& exit_code) {
  auto flags = std::make_shared<RemoveFlags>();
  CLI::App* command = models.add_subcommand("remove", "Remove a model from the cache");
  command->add_option("ID", flags->model, "The model's name; with @REVISION that revision alone")
      ->required()
      ->type_name("");
  command->add_flag("-y,--yes", flags->yes, "Do not ask");
  command->callback([flags, &exit_code] {
    const Result<std::string> text = RunRemove(*flags);
    exit_code = text.ok() ? PrintAnswer(*text) : ReportError(text.error());
  });
}

}  // namespace

void AddModels(CLI::App& app, int& exit_code) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("models", "List the models in the cache, or remove one");
  command->add_flag("--json", *json, "Print a JSON array");
  command->require_subcommand(0, 1);
  command->footer(
      "Lists Hugging Face's cache, which the Python library shares ($HF_HUB_CACHE, $HF_HOME/hub),\n"
      "and the folders in ~/.cache/bertie/models. Times are UTC.\n"
      "\n"
      "Examples:\n"
      "  bertie models\n"
      "  bertie models remove bert-base-uncased");
  AddRemove(*command, exit_code);
  command->callback([command, json, &exit_code] {
    if (!command->get_subcommands().empty()) return;
    const auto settings = hub::FromEnvironment();
    if (!settings.ok()) {
      exit_code = ReportError(settings.error());
      return;
    }
    const std::vector<Entry> entries = Collect(*settings);
    exit_code = PrintAnswer(*json ? ToJson(entries) : ToText(entries, *settings));
  });
}

}  // namespace bertie::cli
