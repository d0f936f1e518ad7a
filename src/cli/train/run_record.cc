#include "cli/train/run_record.h"

#include <algorithm>
#include <ctime>
#include <iostream>
#include <system_error>

#include "base/file.h"
#include "base/sha256.h"
#include "cli/machine.h"
#include "formats/json.h"
#include "train/recipe.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr const char* kFile = "run.json";

// "2026-01-31T13:45:59Z".
std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// null for no file. A pipe cannot be read twice and has no hash.
Json DescribeFile(const std::string& path) {
  if (path.empty()) return nullptr;
  Json json = {{"path", path}};
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return json;
  json["bytes"] = fs::file_size(path, error);
  if (auto sha = Sha256OfFile(path); sha.ok()) json["sha256"] = *sha;
  return json;
}

Result<Json> ReadRecord(const fs::path& file) {
  BERTIE_ASSIGN_OR_RETURN(Json json, formats::ReadJsonFile(file));
  if (!json.is_object() || !json.contains("flags") || !json["flags"].is_object()) {
    return Error{ErrorCode::kInvalidData,
                 file.string() + ": has no 'flags', expected a run.json that bertie train wrote"};
  }
  return json;
}

// A string at the end of a path of members, or "".
std::string StringAt(const Json& json, std::initializer_list<const char*> keys) {
  const Json* at = &json;
  for (const char* key : keys) {
    if (!at->is_object() || !at->contains(key)) return "";
    at = &(*at)[key];
  }
  return at->is_string() ? at->get<std::string>() : "";
}

Status ApplyFlag(const fs::path& file, const std::string& name, const Json& values,
                 CLI::App& command) {
  auto bad = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidData, file.string() + ": flag '" + name + "': " + why};
  };
  CLI::Option* option = command.get_option_no_throw("--" + name);
  if (option == nullptr) return bad("is none of this version's");
  if (option->count() > 0) return {};
  if (!values.is_array()) return bad("expected an array of strings");
  try {
    for (const Json& value : values) {
      if (!value.is_string()) return bad("expected an array of strings");
      option->add_result(value.get<std::string>());
    }
    option->run_callback();
  } catch (const CLI::ParseError& error) {
    return bad(error.what());
  }
  return {};
}

}  // namespace

RunFlags GivenFlags(const CLI::App& command) {
  RunFlags flags;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name == "resume" || name == "overwrite" || name == "from") continue;
    flags[name] = option->results();
  }
  return flags;
}

Status ApplyRunFlags(const fs::path& file, CLI::App& command) {
  BERTIE_ASSIGN_OR_RETURN(const Json json, ReadRecord(file));
  for (const auto& [name, values] : json["flags"].items()) {
    BERTIE_RETURN_IF_ERROR(ApplyFlag(file, name, values, command));
  }
  return {};
}

RunRecord::RunRecord(const TrainJob& job, const std::string& base_model,
                     const train::RunIdentity& identity, const std::optional<ResumePoint>& point)
    : job_(job) {
  const Machine machine = DescribeMachine();
  json_ = {
      {"format", 1},
      {"version", BERTIE_VERSION},
      {"flags", job.flags},
      {"seed", job.trainer.seed},
      {"threads", identity.machine.at("threads")},
      {"data", {{"train", DescribeFile(job.train_file)}, {"test", DescribeFile(job.test_file)}}},
      {"model", {{"path", base_model}, {"sha256", identity.recipe.at("initial weights")}}},
      {"recipe", train::RecipeToJson(identity.recipe)},
      {"recipe_sha256", train::HashRecipe(identity.recipe)},
      {"cpu", {{"name", machine.cpu}, {"features", machine.features}}},
      {"started", Now()}};
  // What was found out rather than told, and decides the weights.
  json_["flags"]["threads"] = {identity.machine.at("threads")};
  json_["flags"]["model"] = {base_model};
  if (point) json_["resumed_from_step"] = point->state.position.step;
  if (job.from.empty()) return;
  const auto from = ReadRecord(job.from);
  if (from.ok()) weights_before_ = StringAt(*from, {"finished", "model_sha256"});
  const std::string before = from.ok() ? StringAt(*from, {"recipe_sha256"}) : "";
  if (before == json_["recipe_sha256"]) return;
  std::cerr << "note: this run is another than that of " << job.from;
  if (from.ok()) {
    if (auto recipe = train::RecipeFromJson((*from)["recipe"], job.from); recipe.ok()) {
      for (const auto& item : train::CompareRecipes(identity.recipe, *recipe)) {
        std::cerr << "; " << item << " as there";
      }
    }
  }
  std::cerr << '\n';
}

void RunRecord::Write() {
  const fs::path path = fs::path(job_.out) / kFile;
  if (Status status = WriteFileAtomically(path, formats::DumpJson(json_, 2) + "\n"); !status.ok()) {
    std::cerr << "bertie: warning: " << status.error().message << std::endl;
  }
}

void RunRecord::WriteFinished(const train::TrainOutcome& outcome) {
  auto sha = Sha256OfFile(fs::path(job_.out) / "model.safetensors");
  if (sha.ok()) weights_ = *sha;
  json_["finished"] = {{"time", Now()},
                       {"epochs", outcome.epochs},
                       {"kept_epoch", outcome.selection.best_epoch},
                       {"model_sha256", weights_}};
  Write();
}

void RunRecord::PrintComparison() const {
  if (weights_before_.empty()) return;
  std::cout << "the weights are " << (weights_before_ == weights_ ? "" : "not ") << "those of "
            << job_.from << ", bit for bit\n";
}

}  // namespace bertie::cli
