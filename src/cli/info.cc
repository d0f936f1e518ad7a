// bertie info: what a model folder holds.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/figures.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/source.h"
#include "cli/table.h"
#include "model/checkpoint.h"
#include "model/compiled_file.h"
#include "model/parameters.h"
#include "serve/answer.h"
#include "tensor/dtype.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

struct File {
  std::string name;
  int64_t bytes = 0;
};

struct ModelInfo {
  model::Checkpoint checkpoint;
  std::vector<std::string> labels;
  std::vector<std::string> dtypes;  // of the stored tensors
  std::vector<File> files;
  int64_t parameters = 0;
  int64_t embedding_parameters = 0;  // the word table's share
  int64_t vocab_size = 0;            // the tokenizer's
  bool lower_case = false;
  std::string format;                       // of the weights
  std::optional<model::ScriptInfo> script;  // of a TorchScript archive

  // 32-bit weights.
  int64_t inference_bytes() const { return parameters * 4; }
  // Weights, gradients and AdamW's two moments.
  int64_t training_bytes() const { return parameters * 16; }
};

Result<std::vector<File>> ListFiles(const std::filesystem::path& dir) {
  std::vector<File> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    const auto bytes = entry->file_size(ignored);
    if (!ignored) files.push_back({entry->path().filename().string(), static_cast<int64_t>(bytes)});
  }
  if (error) return Error{ErrorCode::kIo, dir.string() + ": cannot list: " + error.message()};
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

std::string Bytes(int64_t bytes) {
  if (bytes < 10000) return FormatCount(bytes) + " bytes";
  if (bytes < 10'000'000) return FormatFixed(static_cast<double>(bytes) / 1e3, 0) + " kB";
  return FormatMegabytes(bytes);
}

template <class Strings>
std::string Join(const Strings& strings, size_t most) {
  std::string text;
  size_t count = 0;
  for (const std::string& one : strings) {
    if (count == most) return text + ", ... (" + std::to_string(strings.size()) + ")";
    text += (count++ > 0 ? ", " : "") + one;
  }
  return text;
}

std::string FilesTable(const std::vector<File>& files) {
  Table table;
  table.Indent(2).AlignRight({1});
  for (const File& file : files) table.Add({file.name, Bytes(file.bytes)});
  return "files\n" + table.ToString();
}

// A compiled folder: its weights lie in panels, so there is no list of tensors to show.
Result<std::string> DescribeCompiled(const std::string& model, const std::filesystem::path& dir,
                                     bool json) {
  BERTIE_ASSIGN_OR_RETURN(const model::CompiledInfo info, model::ReadCompiledInfo(dir));
  BERTIE_ASSIGN_OR_RETURN(const model::Config config, model::LoadConfig(dir / "config.json"));
  BERTIE_ASSIGN_OR_RETURN(const std::vector<File> files, ListFiles(dir));
  const std::vector<std::string> labels =
      serve::MakeLabelScheme(config.labels, config.num_labels(), config.problem_type).labels;
  const std::string precision = model::PrecisionName(info.precision);
  if (json) {
    OrderedJson list = OrderedJson::array();
    for (const File& file : files) list.push_back({{"name", file.name}, {"bytes", file.bytes}});
    return Dump({{"model", model},
                 {"compiled", true},
                 {"precision", precision},
                 {"cpu", info.cpu},
                 {"source_sha256", info.source_sha256},
                 {"matrices", info.matrices},
                 {"matrices_held_higher", info.higher},
                 {"hidden_size", config.hidden_size},
                 {"num_hidden_layers", config.num_hidden_layers},
                 {"labels", labels},
                 {"files", list}},
                2) +
           "\n";
  }
  Table table;
  table.Add({"model", model});
  table.Add({"compiled", precision + ", laid out for " + info.cpu});
  if (info.higher > 0) {
    table.Add({"held higher",
               std::to_string(info.higher) + " of " + std::to_string(info.matrices) + " matrices"});
  }
  table.Add({"made from", "weights with SHA-256 " + info.source_sha256});
  table.Add({"layers", std::to_string(config.num_hidden_layers)});
  table.Add({"hidden size", std::to_string(config.hidden_size)});
  table.Add({"longest text", FormatCount(config.max_position_embeddings) + " tokens"});
  table.Add({"labels", Join(labels, 20)});
  return table.ToString() + FilesTable(files);
}

Result<ModelInfo> Collect(const model::ModelSource& source) {
  const std::filesystem::path& dir = source.dir();
  ModelInfo info;
  if (const auto format = source.format()) info.format = model::SourceFormatName(*format);
  if (source.script()) info.script = source.script()->info;
  BERTIE_ASSIGN_OR_RETURN(info.checkpoint, model::LoadCheckpoint(dir));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(dir));
  BERTIE_ASSIGN_OR_RETURN(info.files, ListFiles(dir));
  const model::Config& config = info.checkpoint.config;
  info.labels =
      serve::MakeLabelScheme(config.labels, config.num_labels(), config.problem_type).labels;
  info.vocab_size = static_cast<int64_t>(tokenizer.vocab_size());
  info.lower_case = tokenizer.lower_case();
  for (const model::ParameterSpec& spec : model::ParameterSpecs(config)) {
    info.parameters += NumElements(spec.shape);
  }
  info.embedding_parameters = config.vocab_size * config.hidden_size;
  std::map<DType, bool> seen;
  for (const auto& [name, tensor] : info.checkpoint.tensors) seen[tensor.dtype] = true;
  for (const auto& [dtype, unused] : seen) info.dtypes.push_back(DTypeName(dtype));
  return info;
}

// What a user should know before using the model as a classifier.
std::string HeadText(const ModelInfo& info, const std::string& model) {
  const std::vector<std::string>& missing = info.checkpoint.missing;
  if (missing.empty()) return "there: the model classifies";
  return "missing: " + Join(missing, 8) + ". Train it: bertie train DATA --model " +
         ShellWord(model);
}

// "by PyTorch 1.12 or later, of 64 tokens, from (input_ids, attention_mask)".
std::string TraceText(const model::ScriptInfo& script) {
  return "by PyTorch " + script.torch + ", of " +
         (script.length > 0 ? std::to_string(script.length) + " tokens"
                            : std::string("a length that is not stored")) +
         ", from (" + Join(script.arguments, 8) + ")" +
         (script.mask.empty() ? "; it has no attention mask" : "");
}

std::string ToText(const ModelInfo& info, const std::string& model) {
  const model::Config& config = info.checkpoint.config;
  Table table;
  table.Add({"model", model});
  table.Add({"layers", std::to_string(config.num_hidden_layers)});
  table.Add({"hidden size", std::to_string(config.hidden_size) + ", " +
                                std::to_string(config.num_attention_heads) +
                                " attention heads, feed-forward " +
                                std::to_string(config.intermediate_size)});
  table.Add({"longest text", FormatCount(config.max_position_embeddings) + " tokens"});
  table.Add({"parameters", FormatCount(info.parameters) + ", of them " +
                               FormatCount(info.embedding_parameters) + " word embeddings"});
  table.Add({"stored as", Join(info.dtypes, 8) + " in " + info.format});
  if (info.script) table.Add({"trace", TraceText(*info.script)});
  table.Add({"memory", Bytes(info.inference_bytes()) + " of weights to classify, " +
                           Bytes(info.training_bytes()) +
                           " to train (with gradients and AdamW's moments), activations on top"});
  table.Add({"classifier", HeadText(info, model)});
  std::vector<std::string> labels;
  for (const std::string& label : info.labels) labels.push_back(OneLine(label, 40));
  if (info.checkpoint.missing.empty()) table.Add({"labels", Join(labels, 20)});
  if (!config.problem_type.empty()) table.Add({"problem type", config.problem_type});
  table.Add({"tokenizer", std::string("WordPiece, ") + (info.lower_case ? "uncased" : "cased") +
                              ", " + FormatCount(info.vocab_size) + " tokens"});
  if (!info.checkpoint.unused.empty()) {
    table.Add({"not used", Join(info.checkpoint.unused, 8)});
  }
  return table.ToString() + FilesTable(info.files);
}

std::string ToJson(const ModelInfo& info, const std::string& model) {
  const model::Config& config = info.checkpoint.config;
  OrderedJson files = OrderedJson::array();
  for (const File& file : info.files) files.push_back({{"name", file.name}, {"bytes", file.bytes}});
  OrderedJson json = {
      {"model", model},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"num_attention_heads", config.num_attention_heads},
      {"intermediate_size", config.intermediate_size},
      {"max_position_embeddings", config.max_position_embeddings},
      {"vocab_size", config.vocab_size},
      {"parameters", info.parameters},
      {"word_embedding_parameters", info.embedding_parameters},
      {"dtypes", info.dtypes},
      {"format", info.format},
      {"weights_file", info.checkpoint.source.filename().string()},
      {"inference_bytes", info.inference_bytes()},
      {"training_bytes", info.training_bytes()},
      {"problem_type", config.problem_type},
      {"labels", info.labels},
      {"missing", info.checkpoint.missing},
      {"unused", info.checkpoint.unused},
      {"tokenizer",
       {{"kind", "WordPiece"}, {"lower_case", info.lower_case}, {"vocab_size", info.vocab_size}}},
      {"files", files}};
  if (info.script) {
    const model::ScriptInfo& script = *info.script;
    json["torchscript"] = {
        {"torch", script.torch},
        {"arguments", script.arguments},
        {"attention_mask", !script.mask.empty()},
        {"token_types", script.takes_types},
        {"traced_length", script.length > 0 ? OrderedJson(script.length) : OrderedJson(nullptr)}};
  }
  return Dump(json, 2) + "\n";
}

Result<std::string> Describe(const std::string& model, const SourceFlags& flags, bool json) {
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, OpenSource(model, flags));
  if (model::IsCompiled(source.dir())) return DescribeCompiled(model, source.dir(), json);
  BERTIE_ASSIGN_OR_RETURN(const ModelInfo info, Collect(source));
  return json ? ToJson(info, model) : ToText(info, model);
}

}  // namespace

void AddInfo(CLI::App& app, int& exit_code) {
  struct Flags {
    std::string model;
    SourceFlags source;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("info", "Show a model's sizes, labels, tokenizer, memory and files");
  command
      ->add_option("MODEL", flags->model,
                   "A model's folder, model.tar.gz, a TorchScript archive, or its name on the hub")
      ->required()
      ->type_name("");
  AddSourceFlags(*command, flags->source);
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(
      "Reads headers only, not the weights. Works on pretrained models too, and says what they\n"
      "lack to classify.\n"
      "\n"
      "Examples:\n"
      "  bertie info model\n"
      "  bertie info model.tar.gz --json");
  command->callback([flags, &exit_code] {
    const Result<std::string> text = Describe(flags->model, flags->source, flags->json);
    exit_code = text.ok() ? PrintAnswer(*text) : ReportError(text.error());
  });
}

}  // namespace bertie::cli
