// bertie compile: a model made ready for this kind of processor, in a lower precision if asked for.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "base/sha256.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/data_flags.h"
#include "cli/metric_tables.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/source.h"
#include "cli/table.h"
#include "data/dataset.h"
#include "kernels/matmul.h"
#include "model/compiled_file.h"
#include "model/problem.h"
#include "text/tokenizer.h"
#include "train/precision_search.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

struct CompileFlags {
  std::string model;
  SourceFlags source;
  std::string format = "auto";
  std::string precision = "int8";
  std::string out;
  std::string data_file;
  DataFlags data;
  double min_agreement = 99;  // per cent
  double max_drop = 0.5;      // points
  int threads = 0;
};

// "DIR/model-int8" for DIR/model, DIR/model/ and DIR/model.tar.gz; "name-int8" for a model that is
// named as on a hub, "organisation/name@revision".
fs::path DefaultOut(const CompileFlags& flags) {
  std::string name = flags.model;
  std::error_code error;
  if (!fs::exists(name, error)) name = fs::path(hub::ParseModelName(name).id).filename().string();
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  for (const std::string ending : {".tar.gz", ".tgz", ".pt", ".pth"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return name + "-" + flags.precision;
}

// Refuses to write over anything but a compiled model: what it was made from is not to be lost.
Status CheckOut(const fs::path& out) {
  std::error_code error;
  if (!fs::exists(out, error) || model::IsCompiled(out)) return {};
  if (fs::is_directory(out, error) && fs::is_empty(out, error)) return {};
  return Error{
      ErrorCode::kInvalidArgument,
      "--out " + out.string() + " is there and is no compiled model; choose another folder"};
}

// The weights' own, whatever files they came in.
std::string ContentHash(const model::Checkpoint& checkpoint) {
  Sha256 hash;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    hash.Update(name + " " + DTypeName(tensor.dtype) + ShapeString(tensor.shape) + "\n");
    hash.Update({tensor.data, tensor.bytes()});
  }
  return hash.Finish();
}

Result<train::EncodedDataset> LoadSentences(const CompileFlags& flags, const model::Config& config,
                                            const text::Tokenizer& tokenizer) {
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  BERTIE_RETURN_IF_ERROR(ReadAsModelAnswers(config, flags.model, options));
  BERTIE_ASSIGN_OR_RETURN(const data::Dataset dataset, data::LoadDataset(flags.data_file, options));
  std::cerr << data::DescribeDataset(dataset);
  return train::EncodedDataset{
      train::EncodeExamples(tokenizer, dataset.examples,
                            static_cast<size_t>(config.max_position_embeddings)),
      train::MakeTargets(dataset.examples, model::ProblemOf(config), config.num_labels())};
}

std::string Percent(double share) { return FormatFixed(100 * share, 2) + " %"; }

std::string AgreementText(const train::Comparison& found) {
  const std::string sentences = FormatCount(found.after.examples) + " sentences";
  switch (found.after.problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return "same answer for " + Percent(found.agreement) + " of all labels of " + sentences;
    case ProblemType::kRegression:
      return "rank correlation of the answers " + FormatFixed(found.agreement, 4) + " on " +
             sentences;
  }
  return "same answer on " + Percent(found.agreement) + " of " + sentences;
}

std::string ToText(const train::SearchResult& result, const std::string& precision) {
  const train::Comparison& found = result.comparison;
  Table table({"", "original", precision, "difference"});
  table.AlignRight({1, 2, 3});
  const auto row = [&](const char* name, double before, double after, int digits) {
    table.Add({name, FormatFixed(before, digits), FormatFixed(after, digits),
               (after >= before ? "+" : "") + FormatFixed(after - before, digits)});
  };
  const auto before = ShownFigures(found.before), after = ShownFigures(found.after);
  for (size_t i = 0; i < before.size(); ++i) {
    row(before[i].name, before[i].value, after[i].value, 4);
  }
  std::string text = table.ToString() + AgreementText(found) + "; logits differ by " +
                     FormatFixed(found.mean_difference, 4) + " on average, " +
                     FormatFixed(found.largest_difference, 4) + " at most\n";
  if (result.raised.empty()) return text;
  text += "without exceptions it would have been " + Percent(result.first.agreement) +
          " and a loss of " + FormatFixed(100 * result.first.drop(), 2) +
          " points; held in a higher precision:\n";
  for (const std::string& name : result.raised) text += "  " + name + "\n";
  return text;
}

// The weights in the precision asked for; with data, checked against the bound.
Result<model::ClassifierWeights> Lower(const CompileFlags& flags, model::WeightType precision,
                                       const model::Checkpoint& checkpoint,
                                       const text::Tokenizer& tokenizer, ThreadPool& pool) {
  if (flags.data_file.empty()) {
    if (precision != model::WeightType::kF32) {
      std::cerr << "not checked what " << flags.precision
                << " costs this model: give labelled sentences with --data\n";
    }
    return model::PackWeights(checkpoint, {precision, {}}, pool);
  }
  BERTIE_ASSIGN_OR_RETURN(const auto data, LoadSentences(flags, checkpoint.config, tokenizer));
  train::SearchOptions options;
  options.bound = {flags.min_agreement / 100, flags.max_drop / 100};
  std::unique_ptr<Progress> progress;
  options.progress = [&](const train::SearchProgress& step) {
    if (!progress) {
      progress =
          std::make_unique<Progress>(Progress::Options{step.step, step.total, "matrices", false});
    }
    progress->Update(step.done);
  };
  BERTIE_ASSIGN_OR_RETURN(train::SearchResult result,
                          train::LowerPrecision(checkpoint, precision, data, options, pool));
  progress.reset();
  BERTIE_RETURN_IF_ERROR(WriteStdout(ToText(result, flags.precision)));
  if (!options.bound.Holds(result.comparison)) {
    return Error{ErrorCode::kInvalidData,
                 "even with every layer held higher the bound is not reached (--min-agreement " +
                     FormatFixed(flags.min_agreement, 2) + ", --max-drop " +
                     FormatFixed(flags.max_drop, 2) +
                     "); nothing was written. Loosen it, or take a higher --precision"};
  }
  return std::move(result.weights);
}

// Says what is read; an error where --format names another form.
Status CheckFormat(const CompileFlags& flags, const model::ModelSource& source) {
  const auto found = source.format();
  if (!found) return {};  // LoadCheckpoint says what is missing
  const std::string name = model::SourceFormatName(*found);
  if (flags.format != "auto" && flags.format != name) {
    return Error{ErrorCode::kInvalidArgument, flags.model + " is read as " + name + "; --format " +
                                                  flags.format + " is asked for"};
  }
  std::cerr << "reads " << flags.model << " as " << name << std::endl;
  return {};
}

Result<int> RunCompile(const CompileFlags& flags) {
  const fs::path out = flags.out.empty() ? DefaultOut(flags) : fs::path(flags.out);
  const model::WeightType precision = *model::ParsePrecision(flags.precision);
  BERTIE_RETURN_IF_ERROR(CheckOut(out));
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, OpenSource(flags.model, flags.source));
  BERTIE_RETURN_IF_ERROR(CheckFormat(flags, source));
  if (model::IsCompiled(source.dir())) {
    return Error{ErrorCode::kInvalidArgument,
                 flags.model + " is compiled already; give the model it was compiled from"};
  }
  BERTIE_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::LoadCheckpoint(source.dir()));
  BERTIE_ASSIGN_OR_RETURN(const text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  ThreadPool pool(flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads());
  BERTIE_ASSIGN_OR_RETURN(const model::ClassifierWeights weights,
                          Lower(flags, precision, checkpoint, tokenizer, pool));
  model::CompiledInfo info;
  info.precision = precision;
  info.cpu = kernels::Instructions(precision);
  info.source_sha256 = ContentHash(checkpoint);
  BERTIE_RETURN_IF_ERROR(model::SaveCompiled(out, weights, info, tokenizer));
  std::error_code error;
  const auto bytes = fs::file_size(out / model::kCompiledFile, error);
  std::cout << "saved " << out.string() << " (" << flags.precision << ", laid out for " << info.cpu
            << ", " << FormatMegabytes(static_cast<int64_t>(bytes)) << ")\n"
            << "next: bertie serve " << ShellWord(out.string()) << std::endl;
  return kExitOk;
}

}  // namespace

void AddCompile(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<CompileFlags>();
  CLI::App* command = app.add_subcommand(
      "compile", "Make a trained model start and answer quicker on this kind of processor");
  command
      ->add_option("MODEL", flags->model,
                   "A trained model: its folder, model.tar.gz, a TorchScript archive, or its name "
                   "on the hub")
      ->required()
      ->type_name("");
  command
      ->add_option("--format", flags->format,
                   "What MODEL is to be: torchscript, safetensors, pytorch; auto: any of them")
      ->check(CLI::IsMember({"auto", "torchscript", "safetensors", "pytorch"}))
      ->type_name("F")
      ->capture_default_str();
  AddSourceFlags(*command, flags->source);
  command
      ->add_option("--precision", flags->precision,
                   "fp32: the same answers; bf16: half the memory; int8: a quarter, and the "
                   "quickest")
      ->check(CLI::IsMember({"fp32", "bf16", "int8"}))
      ->type_name("P")
      ->capture_default_str();
  command->add_option("-o,--out", flags->out, "Folder to write [MODEL-PRECISION]")
      ->type_name("DIR");
  command
      ->add_option("--data", flags->data_file,
                   "Labelled sentences on which the compiled model is compared with the original")
      ->type_name("FILE");
  constexpr const char* kGroup = "Bounds, with --data: matrices that break them are held higher";
  command
      ->add_option("--min-agreement", flags->min_agreement,
                   "Least share of sentences with the same answer, in per cent; of labels where a "
                   "sentence may have several; with numbers their rank correlation")
      ->group(kGroup)
      ->check(Between(0, 100))
      ->type_name("%")
      ->capture_default_str();
  command
      ->add_option(
          "--max-drop", flags->max_drop,
          "Most that accuracy and MCC may fall, in points; micro and macro F1 where a sentence may "
          "have several labels; with numbers their correlations")
      ->group(kGroup)
      ->check(Between(0, 100))
      ->type_name("POINTS")
      ->capture_default_str();
  command->add_option("-t,--threads", flags->threads, "Threads; 0: one for each processor")
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N")
      ->capture_default_str();
  AddDataFlags(*command, flags->data);
  command->footer(
      "The folder serves, evaluates and predicts like any other; it cannot be trained further, so\n"
      "keep MODEL. On another kind of processor it works too, after being laid out anew at each\n"
      "start.\n"
      "\n"
      "Examples:\n"
      "  bertie compile model --data test.csv\n"
      "  bertie compile model.tar.gz --precision bf16 --out fast\n"
      "  bertie compile model --data test.csv --min-agreement 99.5 --max-drop 0.2");
  command->callback([flags, &exit_code] {
    auto code = RunCompile(*flags);
    exit_code = code.ok() ? *code : ReportError(code.error());
  });
}

}  // namespace bertie::cli
