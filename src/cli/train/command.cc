#include <memory>
#include <string>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/data_flags.h"
#include "cli/train/flags.h"
#include "cli/train/job.h"
#include "cli/train/processes.h"
#include "cli/train/ranks.h"
#include "cli/train/run_record.h"

namespace bertie::cli {
namespace {

struct Flags {
  TrainJob job;
  DataFlags data;
  std::string schedule = "linear";
  std::string order = "length-grouped";
  std::string recipe;
  std::string precision = "fp32";
  int64_t frozen_megabytes = 2000;
  std::string best = "last";
};

constexpr const char* kRecipe = "cola-notebook";

void AddTrainDataFlags(CLI::App& command, Flags& flags) {
  TrainJob& job = flags.job;
  command.add_option("DATA,--train", job.train_file, "Labelled sentences: csv, tsv or jsonl")
      ->group("Data");
  command.add_option("--test", job.test_file, "Labelled sentences to test on after each epoch")
      ->group("Data");
  command
      .add_option("--holdout", job.holdout,
                  "Without --test: the share of DATA kept for the test; 0 for no test")
      ->check(Between(0.0, 0.9))
      ->capture_default_str()
      ->group("Data");
  command
      .add_option(
          "--class-weights", job.class_weights,
          "What sentences of each label count for: balanced (rare labels more, so that each "
          "label counts the same in all), or a JSON file {\"label\": weight, ...}. With several "
          "labels a sentence: what those that have the label count for")
      ->type_name("balanced|FILE")
      ->group("Data");
  command
      .add_option("--num-labels", job.num_labels,
                  "Labels 0 to N-1; without it they are learnt from DATA")
      ->check(CLI::Range(1, 100000))
      ->group("Data");
  command
      .add_option("--threshold", job.threshold,
                  "With several labels a sentence: from which score on the test gives it a label "
                  "[0.5]")
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1")
      ->group("Data");
}

void AddModelFlags(CLI::App& command, Flags& flags) {
  TrainJob& job = flags.job;
  command
      .add_option("-m,--model", job.model,
                  "Pretrained BERT to start from: a folder in Hugging Face's form, a .tar.gz of "
                  "one, a TorchScript archive, or a name on the hub (bert-base-uncased), which is "
                  "pulled if it is not in "
                  "the cache; without it $BERTIE_MODEL or a cached model")
      ->group("Model");
  AddSourceFlags(command, job.source);
  command.add_option("-o,--out", job.out, "Folder to save the model in, after each epoch")
      ->capture_default_str()
      ->group("Model");
  command
      .add_flag("--pytorch-bin", job.pytorch_bin,
                "Also write pytorch_model.bin at the end, for transformers before 4.22")
      ->group("Model");
  command.add_flag("--archive,!--no-archive", job.archive, "Also write OUT.tar.gz at the end")
      ->capture_default_str()
      ->group("Model");
  command
      .add_option("--max-length", job.max_length,
                  "Tokens of a sentence, [CLS] and [SEP] included; longer ones are cut")
      ->check(CLI::Range(4, 1 << 20))
      ->capture_default_str()
      ->group("Model");
  command.add_option("--dropout", job.dropout, "Instead of the checkpoint's own, usually 0.1")
      ->check(Between(0.0, 0.9))
      ->group("Model");
}

void AddRecipeFlags(CLI::App& command, Flags& flags) {
  train::TrainerOptions& t = flags.job.trainer;
  auto positive = AtLeast(1);
  command.add_option("-e,--epochs", t.epochs)
      ->check(positive)
      ->capture_default_str()
      ->group("Recipe");
  command.add_option("-b,--batch-size", t.batch_size, "Sentences of one pass, all ranks' together")
      ->check(positive)
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--batch-tokens", t.batch_tokens,
                  "Batches of as many sentences as have so many tokens, instead of --batch-size")
      ->check(positive)
      ->group("Recipe");
  command
      .add_option("--gradient-accumulation", t.gradient_accumulation,
                  "Passes whose gradients make one step")
      ->check(positive)
      ->capture_default_str()
      ->group("Recipe");
  command.add_option("--lr", t.learning_rate, "Peak learning rate")
      ->check(Between(0.0, 1.0))
      ->capture_default_str()
      ->group("Recipe");
  command.add_option("--lr-schedule", flags.schedule, "linear, cosine or constant")
      ->check(CLI::IsMember({"linear", "cosine", "constant"}))
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--warmup-ratio", t.warmup_ratio, "Share of the steps in which the rate rises")
      ->check(Between(0.0, 1.0))
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--weight-decay", t.weight_decay,
                  "AdamW's, not of biases and LayerNorm parameters")
      ->check(Between(0.0, 1.0))
      ->capture_default_str()
      ->group("Recipe");
  command.add_option("--max-grad-norm", t.max_grad_norm, "Gradients are clipped to it; 0: never")
      ->check(Between(0.0, 1e9))
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--order", flags.order,
                  "length-grouped (sentences of like length together) or shuffled")
      ->check(CLI::IsMember({"length-grouped", "shuffled"}))
      ->capture_default_str()
      ->group("Recipe");
  command.add_option("--seed", t.seed)->capture_default_str()->group("Recipe");
  command
      .add_option("--recipe", flags.recipe,
                  "cola-notebook: batch 64, lr 2e-5 constant, no decay, max length 64, seed 1, "
                  "1 epoch, shuffled, test batches of 1000; other flags override it")
      ->check(CLI::IsMember({kRecipe}))
      ->group("Recipe");
}

void AddTuningFlags(CLI::App& command, Flags& flags) {
  model::TuningOptions& tuning = flags.job.tuning;
  command
      .add_option(
          "--freeze-layers", tuning.freeze_layers,
          "The embeddings and so many of the lowest layers keep their values, and what they "
          "make of each sentence is computed once; 0: the embeddings alone")
      ->check(CLI::Range(int64_t{0}, int64_t{1000}))
      ->group("Faster");
  command
      .add_option("--lora-rank", tuning.lora.rank,
                  "Train adapters of this rank beside the query and value weights (LoRA), merged "
                  "when the model is saved; the rate is then 5e-4 unless --lr says otherwise")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->group("Faster");
  command.add_option("--lora-alpha", tuning.lora.alpha, "The adapters count alpha / rank times")
      ->check(Between(0.0, 1e6))
      ->capture_default_str()
      ->group("Faster");
  command
      .add_option("--precision", flags.precision,
                  "fp32, or bf16: products of bfloat16 with fp32 sums, weights in fp32 (where the "
                  "processor has them)")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str()
      ->group("Faster");
  command
      .add_option("--frozen-memory", flags.frozen_megabytes,
                  "Most megabytes for what frozen layers have computed")
      ->check(AtLeast(0))
      ->capture_default_str()
      ->group("Faster");
}

void AddRunFlags(CLI::App& command, Flags& flags) {
  train::TrainerOptions& t = flags.job.trainer;
  command.add_option("--log-interval", t.log_interval, "Steps between two lines of the log")
      ->check(AtLeast(1))
      ->capture_default_str()
      ->group("Run");
  command.add_option("--test-batch-size", t.test_batch_size, "Sentences; changes no result")
      ->check(AtLeast(1))
      ->capture_default_str()
      ->group("Run");
  command
      .add_option("--tensorboard", flags.job.tensorboard,
                  "Folder for TensorBoard's event file; without it a new one under OUT/runs")
      ->group("Run");
  command.add_flag("!--no-tensorboard", flags.job.events, "Write no event file")->group("Run");
  command
      .add_option("--report", flags.job.report,
                  "Page with curves, confusion matrix and mistakes, written at the end; without it "
                  "OUT/report.html")
      ->group("Run");
  command
      .add_flag("!--no-report", flags.job.reports,
                "Write no report and no model card (README.md), and test the saved model no more")
      ->group("Run");
  command
      .add_option("-t,--threads", flags.job.threads, "0: all processors; --nproc shares them out")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Run");
}

void AddSelectionFlags(CLI::App& command, Flags& flags) {
  train::SelectionOptions& selection = flags.job.trainer.selection;
  command
      .add_option("--best", flags.best,
                  "Which epoch's model to keep: last, or the best on the test by loss, accuracy, "
                  "f1, macro_f1, micro_f1 or mcc; with several labels a sentence also hamming_loss "
                  "or average_precision; with numbers loss, mse, rmse, mae, pearson or spearman")
      ->check(CLI::IsMember(train::SelectByNames()).description(""))
      ->type_name("FIGURE")
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--early-stopping", selection.patience,
                  "End after so many epochs in a row without a gain; by the loss unless --best "
                  "says otherwise; 0: never")
      ->check(AtLeast(0))
      ->capture_default_str()
      ->group("Recipe");
  command
      .add_option("--early-stopping-threshold", selection.threshold,
                  "A gain is a better value by more than this")
      ->check(Between(0.0, 1e9))
      ->capture_default_str()
      ->group("Recipe");
}

void AddCheckpointFlags(CLI::App& command, Flags& flags) {
  CheckpointOptions& options = flags.job.checkpoints;
  const char* group = "Checkpoints";
  CLI::Option* resume =
      command
          .add_option("--resume", options.resume_from,
                      "Go on from the newest whole checkpoint in OUT (or in DIR); where there is "
                      "none, begin")
          ->type_name("[DIR]")
          ->expected(0, 1)
          ->group(group);
  command
      .add_flag("--overwrite", options.overwrite, "Begin anew although OUT holds an unfinished run")
      ->excludes(resume)
      ->group(group);
  command
      .add_option("--checkpoint-steps", options.steps,
                  "A checkpoint at each multiple of so many steps too; 0: not by steps")
      ->check(AtLeast(0))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--checkpoint-minutes", options.minutes,
                  "A checkpoint within an epoch so long after the last; 0: not by time")
      ->check(Between(0.0, 1e6))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--keep", options.keep,
                  "How many checkpoints stay, after the run too; 0: none are written. Without it "
                  "2, and none after a finished run")
      ->check(AtLeast(0))
      ->group(group);
  command.add_option("--checkpoints", options.folder, "Their folder instead of OUT/checkpoints")
      ->group(group);
}

void AddRepeatFlag(CLI::App& command, Flags& flags) {
  command
      .add_option("--from", flags.job.from,
                  "A run.json: repeats that run; other flags override its own")
      ->group("Run");
}

// The recipe's values for flags that were not given.
void ApplyRecipe(const CLI::App& command, Flags& flags) {
  auto unset = [&](const char* name) { return command.count(name) == 0; };
  TrainJob& job = flags.job;
  train::TrainerOptions& t = job.trainer;
  if (unset("--batch-size")) t.batch_size = 64;
  if (unset("--lr")) t.learning_rate = 2e-5;
  if (unset("--weight-decay")) t.weight_decay = 0;
  if (unset("--lr-schedule")) flags.schedule = "constant";
  if (unset("--warmup-ratio")) t.warmup_ratio = 0;
  if (unset("--max-length")) job.max_length = 64;
  if (unset("--seed")) t.seed = 1;
  if (unset("--epochs")) t.epochs = 1;
  if (unset("--log-interval")) t.log_interval = 50;
  if (unset("--test-batch-size")) t.test_batch_size = 1000;
  if (unset("--order")) flags.order = "shuffled";
}

// One label is what a regression has, or one that sentences have or not.
Status CheckNumLabels(Flags& flags) {
  const auto problem = flags.job.dataset.table.problem;
  int64_t& labels = flags.job.num_labels;
  if (problem == ProblemType::kRegression) {
    if (labels > 1) {
      return Error{ErrorCode::kInvalidArgument,
                   "--num-labels is " + std::to_string(labels) + "; --regression has 1"};
    }
    labels = 0;
  }
  if (labels != 1 || problem == ProblemType::kMultiLabel) return {};
  return Error{ErrorCode::kInvalidArgument,
               "--num-labels is 1; expected 2 at least, or --regression or --multi-label"};
}

Result<TrainJob> ToJob(const CLI::App& command, Flags flags) {
  if (!flags.recipe.empty()) ApplyRecipe(command, flags);
  flags.job.tuning.bf16 = flags.precision == "bf16";
  flags.job.trainer.frozen_output_bytes = flags.frozen_megabytes * 1000 * 1000;
  // Adapters start from zero and are few: they want steps ten times as long.
  if (flags.job.tuning.lora.rank > 0 && command.count("--lr") == 0) {
    flags.job.trainer.learning_rate = 5e-4;
  }
  BERTIE_ASSIGN_OR_RETURN(flags.job.trainer.schedule, train::ParseSchedule(flags.schedule));
  train::SelectionOptions& selection = flags.job.trainer.selection;
  // As transformers' early stopping, which watches the loss unless told otherwise.
  if (selection.patience > 0 && command.count("--best") == 0) flags.best = "loss";
  BERTIE_ASSIGN_OR_RETURN(selection.by, train::ParseSelectBy(flags.best));
  flags.job.trainer.wire =
      flags.job.ranks.wire == "bf16" ? comm::Wire::kBfloat16 : comm::Wire::kFloat32;
  flags.job.checkpoints.resume = command.count("--resume") > 0;
  BERTIE_ASSIGN_OR_RETURN(flags.job.dataset, ToDatasetOptions(flags.data));
  flags.job.trainer.order =
      flags.order == "shuffled" ? data::Order::kShuffled : data::Order::kLengthGrouped;
  if (flags.job.train_file.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "no training data: name a file of labelled sentences, as in 'bertie train "
                 "data.csv'"};
  }
  BERTIE_RETURN_IF_ERROR(CheckNumLabels(flags));
  flags.job.trainer.threshold = flags.job.threshold.value_or(train::kDefaultThreshold);
  return flags.job;
}

// In this process, or in one for each rank on this machine.
int StartTrainJob(const TrainJob& job) {
  if (job.ranks.nproc <= 1 || IsStartedRank()) return RunTrainJob(job);
  auto code = RunProcesses(job.ranks.nproc);
  return code.ok() ? *code : ReportError(code.error());
}

}  // namespace

std::function<Result<TrainJob>()> AddTrainFlags(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  AddTrainDataFlags(command, *flags);
  AddDataFlags(command, flags->data);
  AddModelFlags(command, *flags);
  AddRecipeFlags(command, *flags);
  AddTuningFlags(command, *flags);
  AddSelectionFlags(command, *flags);
  AddCheckpointFlags(command, *flags);
  AddRepeatFlag(command, *flags);
  AddRunFlags(command, *flags);
  AddRankFlags(command, flags->job.ranks);
  return [&command, flags]() -> Result<TrainJob> {
    if (!flags->job.from.empty()) {
      BERTIE_RETURN_IF_ERROR(ApplyRunFlags(flags->job.from, command));
    }
    flags->job.flags = GivenFlags(command);
    return ToJob(command, *flags);
  };
}

void AddTrain(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("train", "Fine-tune a BERT on labelled sentences");
  const auto make_job = AddTrainFlags(*command);
  command->footer(
      "Examples:\n"
      "  bertie train reviews.csv\n"
      "  bertie train train.csv --test test.csv --model bert-base-uncased --out spam-filter\n"
      "  bertie train train.csv --test test.csv --recipe cola-notebook\n"
      "  bertie train news.jsonl               several labels a sentence: \"labels\": [\"a\", "
      "\"b\"]\n"
      "  bertie train news.csv --label-separator ';'\n"
      "  bertie train ratings.csv --regression --label-column stars\n"
      "  bertie train train.csv --nproc 4    or, on each of two hosts (N 0 and 1):\n"
      "  bertie train train.csv --rank N --world-size 2 --master HOST0:29500\n"
      "  bertie train train.csv --resume\n"
      "Ctrl-C or SIGTERM writes a checkpoint and ends the run; --resume goes on with it. Exit "
      "code:\n"
      "0 done, 1 failed, 2 wrong flags, 130 after Ctrl-C, 143 after SIGTERM. Without any "
      "argument,\n"
      "in a SageMaker training container (/opt/ml/input/config is there), data, model and flags\n"
      "come from the container's files.");
  command->callback([make_job, &exit_code] {
    const Result<TrainJob> job = make_job();
    exit_code = job.ok() ? StartTrainJob(*job) : ReportError(job.error());
  });
}

}  // namespace bertie::cli
