// bertie predict: labels for texts from the command line, a file or stdin.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/figures.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/data_flags.h"
#include "cli/output.h"
#include "cli/prediction_writer.h"
#include "cli/progress.h"
#include "data/row_reader.h"

namespace bertie::cli {
namespace {

// Rows in memory at once: enough to fill batches of similar lengths.
constexpr size_t kChunkRows = 2048;
// Or so many bytes of text, whichever comes first: rows may be a megabyte long.
constexpr size_t kChunkBytes = size_t{8} << 20;

struct PredictFlags {
  ClassifyFlags model;
  std::vector<std::string> texts;
  std::string file;
  std::string format = "table";
  PredictionOptions output;
  DataFlags data;
};

// Where rows come from, in chunks.
class Input {
 public:
  virtual ~Input() = default;
  // The next rows; none at the end.
  virtual Result<std::vector<data::Row>> NextChunk() = 0;
  // A row that the model cannot read: fine where it is to be skipped, else the error.
  virtual Status Bad(const Error& error) { return error; }
  // Whether rows have a second text.
  virtual bool pairs() const { return false; }
};

class Arguments : public Input {
 public:
  explicit Arguments(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      rows_.push_back({text, std::nullopt, std::nullopt, static_cast<int64_t>(rows_.size()) + 1});
    }
  }
  Result<std::vector<data::Row>> NextChunk() override { return std::exchange(rows_, {}); }

 private:
  std::vector<data::Row> rows_;
};

class FileInput : public Input {
 public:
  FileInput(data::RowReader reader, bool skip_bad)
      : reader_(std::move(reader)), skip_bad_(skip_bad) {}

  // A chunk ends where the next row would have to be waited for: whoever types lines, or a program
  // at the other end of a pipe, gets its answers. So it does where a row is bad, until one was
  // skipped: rows are bad, and answered, in their order.
  Result<std::vector<data::Row>> NextChunk() override {
    std::vector<data::Row> rows;
    size_t bytes = 0;
    if (held_) BERTIE_RETURN_IF_ERROR(Bad(*std::exchange(held_, std::nullopt)));
    while (rows.size() < kChunkRows && bytes < kChunkBytes) {
      if (!rows.empty() && !reader_.HasBuffered()) break;
      data::Row row;
      const Result<bool> more = reader_.Next(row);
      if (!more.ok()) {
        if (!rows.empty() && (skipped_ == 0 || !Skips(more.error()))) {
          held_ = more.error();
          break;
        }
        BERTIE_RETURN_IF_ERROR(Bad(more.error()));
      } else if (!*more) {
        break;
      } else {
        bytes += row.text.size() + (row.pair ? row.pair->size() : 0);
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }

  Status Bad(const Error& error) override {
    if (!Skips(error)) return error;
    if (skipped_++ == 0) first_skipped_ = error.message;
    return {};
  }

  bool pairs() const override { return reader_.report().pair_column >= 0; }
  int64_t skipped() const { return skipped_; }
  const std::string& first_skipped() const { return first_skipped_; }

 private:
  // Of one row, and rows are to be skipped.
  bool Skips(const Error& error) const {
    return skip_bad_ &&
           (error.code == ErrorCode::kInvalidData || error.code == ErrorCode::kResourceExhausted);
  }

  data::RowReader reader_;
  bool skip_bad_;
  std::optional<Error> held_;  // of the row after those of the last chunk
  int64_t skipped_ = 0;
  std::string first_skipped_;
};

Result<std::unique_ptr<FileInput>> OpenFile(const PredictFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  options.table.need_label = false;
  const std::string source = flags.file.empty() ? "-" : flags.file;
  data::TableFormat& format = options.table.format;
  const bool told = !flags.data.text.empty() || options.table.delimiter.has_value();
  if (format == data::TableFormat::kAuto && !told &&
      (source == "-" || source.ends_with(".txt") || source.ends_with(".txt.gz"))) {
    format = data::TableFormat::kText;
  }
  if (source == "-" && isatty(STDIN_FILENO) == 1) {
    std::cerr << "Type texts, one a line; end with Ctrl-D." << std::endl;
  }
  BERTIE_ASSIGN_OR_RETURN(data::RowReader reader, data::RowReader::Open(source, options.table));
  return std::make_unique<FileInput>(std::move(reader), flags.data.skip_bad);
}

// Takes the bad ones out of the rows, up to one that is an error: it and those after it go too.
Status LeaveOutBad(const std::vector<BadRow>& bad, Input& input, std::vector<data::Row>& rows) {
  std::vector<data::Row> good;
  Status status;
  auto next = bad.begin();
  for (size_t i = 0; i < rows.size() && status.ok(); ++i) {
    if (next == bad.end() || next->index != i) {
      good.push_back(std::move(rows[i]));
    } else {
      status = input.Bad((next++)->error);
    }
  }
  rows = std::move(good);
  return status;
}

// Classifies chunk after chunk and writes the answers in order.
Status Stream(LocalModel& model, Input& input, const PredictionWriter& writer) {
  Progress::Options shown;
  shown.title = "predict";
  // Answers on the screen are progress enough.
  shown.quiet = isatty(STDOUT_FILENO) == 1;
  Progress progress(shown);
  LongTextCount count;
  BERTIE_RETURN_IF_ERROR(WriteStdout(writer.Header(input.pairs())));
  for (;;) {
    BERTIE_ASSIGN_OR_RETURN(std::vector<data::Row> rows, input.NextChunk());
    if (rows.empty()) break;
    ReadRows read = model.Read(rows);
    const Status usable = LeaveOutBad(read.bad, input, rows);
    BERTIE_ASSIGN_OR_RETURN(const Classified classified,
                            model.Classify(std::move(read.texts), [&](int64_t in_chunk) {
                              progress.Update(count.texts + in_chunk);
                            }));
    BERTIE_ASSIGN_OR_RETURN(const std::string answers,
                            writer.Format(rows, classified.logits, classified.windows));
    BERTIE_RETURN_IF_ERROR(WriteStdout(answers));
    BERTIE_RETURN_IF_ERROR(usable);
    count.Add(classified);
  }
  progress.Finish();
  const std::string long_texts =
      count.InWords(FormatCount(count.texts) + " texts", model.max_length());
  if (!long_texts.empty()) std::cerr << long_texts << std::endl;
  return {};
}

Status Predict(const PredictFlags& flags) {
  if (!flags.texts.empty() && !flags.file.empty()) {
    return Error{ErrorCode::kInvalidArgument, "found texts and --file; expected one or the other"};
  }
  PredictionOptions output = flags.output;
  BERTIE_ASSIGN_OR_RETURN(output.format, ParsePredictionFormat(flags.format));
  std::unique_ptr<FileInput> file;
  BERTIE_ASSIGN_OR_RETURN(LocalModel model, LocalModel::Load(flags.model));
  if (flags.texts.empty()) {
    BERTIE_ASSIGN_OR_RETURN(file, OpenFile(flags));
  }
  Arguments arguments(flags.texts);
  Input& input = file ? static_cast<Input&>(*file) : arguments;
  BERTIE_ASSIGN_OR_RETURN(
      const PredictionWriter writer,
      PredictionWriter::Create(model.scheme(), model.config().problem_type, output));
  BERTIE_RETURN_IF_ERROR(Stream(model, input, writer));
  if (file && file->skipped() > 0) {
    std::cerr << "left out " << FormatCount(file->skipped())
              << " bad rows; the first: " << file->first_skipped() << std::endl;
  }
  return {};
}

int RunPredict(const PredictFlags& flags) {
  IgnoreBrokenPipes();
  const Status status = Predict(flags);
  // The reader of our answers has what it wanted (`| head`).
  if (status.ok() || status.error().code == ErrorCode::kCancelled) return kExitOk;
  return ReportError(status.error());
}

}  // namespace

void AddPredict(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<PredictFlags>();
  CLI::App* command = app.add_subcommand("predict", "Label texts with a trained model");
  AddClassifyFlags(*command, flags->model);
  command
      ->add_option("TEXT", flags->texts,
                   "Texts to label; without any they come from --file or stdin")
      ->type_name("");
  command->add_option("-f,--file", flags->file, "Texts in csv, tsv, jsonl, or txt (one a line)")
      ->type_name("FILE");
  command->add_option("--format", flags->format, "Of the answers: table, json (lines) or csv")
      ->capture_default_str()
      ->type_name("FORMAT");
  command
      ->add_option("-k,--top-k", flags->output.top_k,
                   "Labels of each text, best first; 0: all. Default: 1, in json all; of a model "
                   "that gives several labels those over the threshold")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30).description(""))
      ->type_name("N");
  AddThresholdFlag(*command, flags->output.threshold);
  command->add_flag("--logits", flags->output.logits, "Raw logits too (json and csv)");
  AddDataFlags(*command, flags->data);
  command->footer(
      "stdin is one text a line unless --input-format says otherwise. There is one answer for\n"
      "each text, in order, written as soon as it is known; memory does not grow with the input.\n"
      "json is one object a line: {\"text\", \"label\", \"score\", \"scores\": {LABEL: SCORE}};\n"
      "\"labels\": [...] and \"scores\" where a text may have several labels, \"value\" for a "
      "number;\n"
      "\"windows\": N where it was read in N windows.\n"
      "\n"
      "Examples:\n"
      "  bertie predict model \"The sailors rode the breeze.\" \"Breeze the rode.\"\n"
      "  bertie predict model --file reviews.csv --text-column review --format csv > labels.csv\n"
      "  zcat mail.txt.gz | bertie predict model.tar.gz --format json | jq .label");
  command->callback([flags, &exit_code] { exit_code = RunPredict(*flags); });
}

}  // namespace bertie::cli
