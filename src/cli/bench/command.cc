// bertie bench: how fast a model is here. Flags and order; the measurements are in bench_*.cc.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/bench/bench.h"
#include "cli/checks.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace bertie::cli {
namespace {

constexpr const char* kParts[] = {"latency", "throughput", "tokenizer", "cold-start", "load"};

bool Wants(const BenchFlags& flags, const char* part) {
  return std::find(flags.what.begin(), flags.what.end(), part) != flags.what.end();
}

Status CheckFlags(const BenchFlags& flags) {
  const bool only_load = flags.what == std::vector<std::string>{"load"};
  if (flags.model.empty() && !(only_load && !flags.url.empty())) {
    return Error{ErrorCode::kInvalidArgument,
                 "found no MODEL; only --what load with --url can do without"};
  }
  if (!flags.url.empty() && !Wants(flags, "load")) {
    return Error{ErrorCode::kInvalidArgument,
                 "found --url, which only --what load measures; add it to --what"};
  }
  return {};
}

Status BenchInProcess(const BenchFlags& flags, const std::vector<std::string>& texts,
                      BenchReport& report) {
  if (!Wants(flags, "latency") && !Wants(flags, "throughput") && !Wants(flags, "tokenizer")) {
    return {};
  }
  ThreadPool pool(flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads());
  BERTIE_ASSIGN_OR_RETURN(const BenchModel model, LoadBenchModel(flags, pool));
  if (Wants(flags, "latency")) {
    BERTIE_RETURN_IF_ERROR(BenchLatency(flags, model.classifier, pool, report));
    BERTIE_RETURN_IF_ERROR(report.Print());
  }
  if (Wants(flags, "throughput")) {
    BERTIE_RETURN_IF_ERROR(BenchThroughput(flags, model, texts, pool, report));
    BERTIE_RETURN_IF_ERROR(report.Print());
  }
  if (Wants(flags, "tokenizer")) {
    BERTIE_RETURN_IF_ERROR(BenchTokenizer(flags, model.tokenizer, texts, report));
    BERTIE_RETURN_IF_ERROR(report.Print());
  }
  return {};
}

Status Bench(const BenchFlags& flags) {
  BERTIE_RETURN_IF_ERROR(CheckFlags(flags));
  std::optional<AtomicFile> html;
  if (!flags.html.empty()) {
    // Now, so that a folder that is not there shows before the measuring.
    BERTIE_ASSIGN_OR_RETURN(html, AtomicFile::Create(flags.html));
  }
  BERTIE_ASSIGN_OR_RETURN(const std::vector<std::string> texts, BenchTexts(flags));
  BenchReport report("bertie bench " + (flags.model.empty() ? flags.url : flags.model), flags.json);
  // Ends with its threads and its memory before a server is measured.
  BERTIE_RETURN_IF_ERROR(BenchInProcess(flags, texts, report));
  if (Wants(flags, "cold-start")) {
    BERTIE_RETURN_IF_ERROR(BenchColdStart(flags, texts, report));
    BERTIE_RETURN_IF_ERROR(report.Print());
  }
  if (Wants(flags, "load")) {
    BERTIE_RETURN_IF_ERROR(BenchLoad(flags, texts, report));
    BERTIE_RETURN_IF_ERROR(report.Print());
  }
  if (html) {
    BERTIE_RETURN_IF_ERROR(html->Write(report.ToHtml()));
    BERTIE_RETURN_IF_ERROR(html->Commit());
  }
  return {};
}

int RunBench(const BenchFlags& flags) {
  IgnoreBrokenPipes();
  const Status status = Bench(flags);
  if (status.ok() || status.error().code == ErrorCode::kCancelled) return kExitOk;
  return ReportError(status.error());
}

void AddLocalFlags(CLI::App& command, BenchFlags& flags) {
  command.add_option("--lengths", flags.lengths, "latency: tokens of the sentence")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("N,...")
      ->each([&flags](const std::string&) { flags.lengths_given = true; })
      ->capture_default_str();
  command
      .add_option("--batch-tokens", flags.batch_tokens,
                  "throughput: most tokens of one batch [" + std::to_string(kBatchTokensPerThread) +
                      " a thread]")
      ->check(CLI::Range(1, 1 << 24).description(""))
      ->type_name("N");
  command.add_option("--runs", flags.runs, "cold-start: fresh processes, one after the other")
      ->check(CLI::Range(1, 1000).description(""))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--data", flags.data_file,
                  "Texts of throughput, tokenizer, cold-start and load: csv, tsv, jsonl, or txt "
                  "(one a line); without it made-up short sentences, the same every time")
      ->type_name("FILE");
}

void AddLoadFlags(CLI::App& command, BenchFlags& flags) {
  constexpr const char* kGroup = "Load (one text a request, in random order)";
  command
      .add_option("--url", flags.url,
                  "Server to ask, http://HOST:PORT[/PATH]; without it one is started for MODEL")
      ->group(kGroup)
      ->type_name("URL");
  command
      .add_option("--concurrency", flags.concurrency,
                  "Closed loop: so many clients, each asks again when it has its answer")
      ->delimiter(',')
      ->group(kGroup)
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N,...");
  command
      .add_option("--rate", flags.rates,
                  "Open loop: requests a second, at random moments whatever the answers take; or "
                  "a share of what the first closed loop reached: 70%")
      ->delimiter(',')
      ->group(kGroup)
      ->check(CLI::Validator(CheckRate, ""))
      ->type_name("RATE,...");
  command
      .add_option("--connections", flags.connections,
                  "Open loop: most requests on their way at once; the next ones go out late")
      ->group(kGroup)
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N")
      ->capture_default_str();
}

}  // namespace

void AddBench(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Measure how fast a model is on this machine");
  command
      ->add_option("MODEL", flags->model,
                   "A fine-tuned model: its folder, model.tar.gz, or its name on the hub")
      ->type_name("");
  command->add_option("-w,--what", flags->what, "What to measure")
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kParts), std::end(kParts))))
      ->type_name("PART,...")
      ->capture_default_str();
  AddSourceFlags(*command, flags->source);
  AddPrecisionFlag(*command, flags->precision);
  command->add_option("-t,--threads", flags->threads, "Threads; 0: one for each processor")
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("-s,--seconds", flags->seconds, "Time for each figure [2; load: 10]")
      ->check(Between(0.0, 3600.0).description(""))
      ->type_name("SECONDS");
  AddLocalFlags(*command, *flags);
  command->add_option("--seed", flags->seed, "Of random orders and arrivals")
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object a line instead of tables");
  command->add_option("--html", flags->html, "Write a page with the plots and tables too")
      ->type_name("FILE");
  AddLoadFlags(*command, *flags);
  AddDataFlags(*command, flags->data);
  command->footer(
      "latency      one sentence at a time, for sentences of 8 to 512 tokens\n"
      "throughput   sentences a second in batches, sorted by length and in random order\n"
      "tokenizer    text to token ids on one thread\n"
      "cold-start   from the start of a fresh `bertie serve` to its first answer\n"
      "load         answers over HTTP. Without --concurrency and --rate: a closed loop of 32\n"
      "             clients, then open loops at 30, 50, 70 and 90 % of what it reached.\n"
      "\n"
      "In an open loop a latency counts from when its request was due, so a server that falls\n"
      "behind does not hide the requests that wait for it. p99 of fewer than 100 answers, and "
      "p99.9\n"
      "of fewer than 1,000, are the slowest one. The figures mean something on a machine that "
      "does\n"
      "nothing else.\n"
      "\n"
      "Examples:\n"
      "  bertie bench model --threads 1 --lengths 16,128\n"
      "  bertie bench model --what throughput,tokenizer --data reviews.csv --text-column review\n"
      "  bertie bench model --what load --html load.html\n"
      "  bertie bench --what load --url http://10.0.0.7:8080 --rate 100,200,400 --seconds 60\n"
      "  bertie bench model --what latency,load,cold-start --json > figures.jsonl");
  command->callback([flags, &exit_code] { exit_code = RunBench(*flags); });
}

}  // namespace bertie::cli
