#include "cli/bench/report.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/figures.h"
#include "cli/html.h"
#include "cli/output.h"
#include "cli/plot.h"
#include "cli/table.h"

namespace bertie::cli {
namespace {

// So that JSON shows no more digits than were measured.
double Round(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

double PerSecond(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::string LoadName(const LoadResult& result) {
  return result.rate ? FormatFixed(*result.rate, 1) + "/s"
                     : std::to_string(result.concurrency) + " clients";
}

std::string LatencyTable(const std::vector<LatencyResult>& results, size_t from) {
  if (from >= results.size()) return "";
  Table table({"tokens", "min ms", "p50 ms", "p99 ms"});
  table.AlignRight({0, 1, 2, 3});
  for (size_t i = from; i < results.size(); ++i) {
    const LatencyResult& r = results[i];
    table.Add({std::to_string(r.tokens), FormatFixed(r.minimum, 3), FormatFixed(r.p50, 3),
               FormatFixed(r.p99, 3)});
  }
  return "one sentence at a time, " + std::to_string(results[from].threads) + " threads\n" +
         table.ToString();
}

std::string ThroughputTable(const std::vector<ThroughputResult>& results, size_t from) {
  if (from >= results.size()) return "";
  Table table({"order", "sentences/s", "best pass", "tokens/s"});
  table.AlignRight({1, 2, 3});
  for (size_t i = from; i < results.size(); ++i) {
    const ThroughputResult& r = results[i];
    table.Add({r.order, FormatFixed(PerSecond(r.sentences, r.median_seconds), 1),
               FormatFixed(PerSecond(r.sentences, r.best_seconds), 1),
               FormatFixed(PerSecond(r.tokens, r.median_seconds), 0)});
  }
  const ThroughputResult& first = results[from];
  std::string text = std::to_string(first.sentences) + " sentences (" +
                     std::to_string(first.tokens) + " tokens) in batches of up to " +
                     std::to_string(first.batch_tokens) + " tokens, " +
                     std::to_string(first.threads) + " threads\n" + table.ToString();
  if (first.truncated > 0) {
    text += std::to_string(first.truncated) + " of them cut to what the model takes\n";
  }
  return text;
}

std::string TokenizerTable(const std::vector<TokenizerResult>& results, size_t from) {
  std::string text;
  for (size_t i = from; i < results.size(); ++i) {
    const TokenizerResult& r = results[i];
    text += "tokenizer, 1 thread: " + FormatFixed(r.megabytes_per_s, 1) + " MB/s, " +
            FormatFixed(r.tokens_per_s / 1e6, 2) + " million tokens/s (" + std::to_string(r.texts) +
            " texts, " + std::to_string(r.bytes) + " bytes)\n";
  }
  return text;
}

std::string ColdStartTable(const std::vector<ColdStartResult>& results, size_t from) {
  std::string text;
  for (size_t i = from; i < results.size(); ++i) {
    const ColdStartResult& r = results[i];
    text += "cold start, " + std::to_string(r.runs) +
            " fresh processes, from start to first answer: " + FormatFixed(r.minimum, 0) +
            " ms at best, median " + FormatFixed(r.median, 0) + ", worst " +
            FormatFixed(r.maximum, 0) + "\n";
  }
  return text;
}

std::string LoadTable(const std::vector<LoadResult>& results, size_t from) {
  if (from >= results.size()) return "";
  Table table({"load", "requests", "errors", "answers/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms",
               "p99/p50"});
  table.AlignRight({0, 1, 2, 3, 4, 5, 6, 7, 8});
  std::string errors;
  for (size_t i = from; i < results.size(); ++i) {
    const LoadResult& r = results[i];
    table.Add({LoadName(r), std::to_string(r.requests), std::to_string(r.errors),
               FormatFixed(r.requests_per_s, 1), FormatFixed(r.p50, 2), FormatFixed(r.p99, 2),
               FormatFixed(r.p999, 2), FormatFixed(r.maximum, 2),
               FormatFixed(r.p50 > 0 ? r.p99 / r.p50 : 0, 2)});
    if (r.errors > 0 && errors.empty()) errors = "first error: " + r.first_error + "\n";
  }
  return "requests of one text to " + results[from].url +
         "; with a rate, counted from when each was due\n" + table.ToString() + errors;
}

OrderedJson ToJson(const LoadResult& r) {
  OrderedJson json = {{"what", "load"}, {"url", r.url}};
  json["loop"] = r.rate ? "open" : "closed";
  if (r.rate) json["rate"] = Round(*r.rate, 2);
  json[r.rate ? "connections" : "concurrency"] = r.concurrency;
  json["requests"] = r.requests;
  json["errors"] = r.errors;
  json["requests_per_s"] = Round(r.requests_per_s, 2);
  json["p50_ms"] = Round(r.p50, 3);
  json["p99_ms"] = Round(r.p99, 3);
  json["p99_9_ms"] = Round(r.p999, 3);
  json["max_ms"] = Round(r.maximum, 3);
  if (r.errors > 0) json["first_error"] = r.first_error;
  return json;
}

}  // namespace

double Quantile(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<size_t>(part * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)];
}

void BenchReport::PrintLine(const std::string& line) {
  if (json_ && written_.ok()) written_ = WriteStdout(line + "\n");
}

void BenchReport::Add(const LatencyResult& r) {
  latency_.push_back(r);
  PrintLine("{\"engine\":\"bertie\",\"threads\":" + std::to_string(r.threads) +
            ",\"tokens\":" + std::to_string(r.tokens) + ",\"min_ms\":" + FormatFixed(r.minimum, 3) +
            ",\"p50_ms\":" + FormatFixed(r.p50, 3) + ",\"p99_ms\":" + FormatFixed(r.p99, 3) + "}");
}

void BenchReport::Add(const ThroughputResult& r) {
  throughput_.push_back(r);
  PrintLine(Dump({{"what", "throughput"},
                  {"threads", r.threads},
                  {"order", r.order},
                  {"batch_tokens", r.batch_tokens},
                  {"sentences", r.sentences},
                  {"tokens", r.tokens},
                  {"truncated", r.truncated},
                  {"sentences_per_s", Round(PerSecond(r.sentences, r.median_seconds), 2)},
                  {"best_sentences_per_s", Round(PerSecond(r.sentences, r.best_seconds), 2)},
                  {"tokens_per_s", Round(PerSecond(r.tokens, r.median_seconds), 1)}}));
}

void BenchReport::Add(const TokenizerResult& r) {
  tokenizer_.push_back(r);
  PrintLine(Dump({{"what", "tokenizer"},
                  {"texts", r.texts},
                  {"bytes", r.bytes},
                  {"tokens", r.tokens},
                  {"mb_per_s", Round(r.megabytes_per_s, 2)},
                  {"tokens_per_s", Round(r.tokens_per_s, 0)}}));
}

void BenchReport::Add(const ColdStartResult& r) {
  cold_start_.push_back(r);
  PrintLine(Dump({{"what", "cold-start"},
                  {"runs", r.runs},
                  {"min_ms", Round(r.minimum, 1)},
                  {"p50_ms", Round(r.median, 1)},
                  {"max_ms", Round(r.maximum, 1)}}));
}

void BenchReport::Add(const LoadResult& r) {
  load_.push_back(r);
  PrintLine(Dump(ToJson(r)));
}

std::string BenchReport::Tables(const Counts& from) const {
  std::string text;
  for (const std::string& table :
       {LatencyTable(latency_, from.latency), ThroughputTable(throughput_, from.throughput),
        TokenizerTable(tokenizer_, from.tokenizer), ColdStartTable(cold_start_, from.cold_start),
        LoadTable(load_, from.load)}) {
    if (!table.empty()) text += (text.empty() ? "" : "\n") + table;
  }
  return text;
}

Status BenchReport::Print() {
  if (!json_ && written_.ok()) {
    const bool first = printed_.latency + printed_.throughput + printed_.tokenizer +
                           printed_.cold_start + printed_.load ==
                       0;
    written_ = WriteStdout((first ? "" : "\n") + Tables(printed_));
  }
  printed_ = {latency_.size(), throughput_.size(), tokenizer_.size(), cold_start_.size(),
              load_.size()};
  return written_;
}

std::string BenchReport::ToHtml() const {
  std::vector<Plot> plots;
  Plot latency{.title = "Latency of one sentence",
               .x_label = "tokens",
               .y_label = "ms",
               .log_x = true,
               .log_y = true,
               .curves = {{"p50", {}}, {"p99", {}}}};
  for (const LatencyResult& r : latency_) {
    const auto x = static_cast<double>(r.tokens);
    latency.curves[0].points.push_back({x, r.p50});
    latency.curves[1].points.push_back({x, r.p99});
  }
  if (!latency_.empty()) plots.push_back(std::move(latency));
  Plot load{.title = "Latency by load",
            .x_label = "requests/s that were due",
            .y_label = "ms",
            .log_y = true,
            .curves = {{"p50", {}}, {"p99", {}}, {"p99.9", {}}}};
  std::vector<LoadResult> open;
  for (const LoadResult& r : load_) {
    if (r.rate && r.p50 > 0) open.push_back(r);
  }
  std::sort(open.begin(), open.end(),
            [](const LoadResult& a, const LoadResult& b) { return *a.rate < *b.rate; });
  for (const LoadResult& r : open) {
    load.curves[0].points.push_back({*r.rate, r.p50});
    load.curves[1].points.push_back({*r.rate, r.p99});
    load.curves[2].points.push_back({*r.rate, r.p999});
  }
  if (!open.empty()) plots.push_back(std::move(load));
  std::string body = "<h1>" + EscapeHtml(title_) + "</h1>\n";
  for (const Plot& plot : plots) {
    body += "<h2>" + EscapeHtml(plot.title) + "</h2>\n" + ToSvg(plot);
  }
  body += "<h2>Figures</h2>\n<pre>" + EscapeHtml(Tables({})) + "</pre>\n";
  return HtmlPage(title_, body);
}

}  // namespace bertie::cli
