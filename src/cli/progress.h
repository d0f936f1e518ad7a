// How far a long piece of work is, on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace bertie::cli {

// On a terminal one line, redrawn at most ten times a second; elsewhere (a log file) a plain line
// whenever ten seconds or a tenth of the work have passed. Work that is done within the first
// second shows nothing. One thread at a time.
class Progress {
 public:
  struct Options {
    std::string title;  // "epoch 1/3", "predict"
    int64_t total = 0;  // 0 where it is not known: then no share and no time left
    std::string unit = "sentences";
    bool quiet = false;  // shows nothing
    int64_t before = 0;  // done earlier, by another process: no part of the speed
  };

  explicit Progress(Options options);
  ~Progress();  // as Clear
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // done counts from the start; never falls. loss: the latest, shown when given.
  void Update(int64_t done, std::optional<double> loss = std::nullopt);

  // Takes the line off a terminal, so that other output can be written; the next Update draws it
  // again.
  void Clear();

  // The last state, which stays on the screen (if anything was shown before), with the whole time.
  void Finish();

  double seconds() const;
  // What was done here / seconds.
  double speed() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Draw();
  std::string Line(bool finished) const;

  Options options_;
  bool terminal_ = false;
  Clock::time_point start_;
  Clock::time_point drawn_;
  int64_t done_ = 0;
  int64_t drawn_done_ = 0;
  std::optional<double> loss_;
  bool shown_ = false;    // something was written and not finished
  bool on_line_ = false;  // the cursor stands in our line
};

// "7 s", "3:05", "2:03:09".
std::string FormatDuration(double seconds);
// Three significant digits: "0.523", "43.1", "1,234".
std::string FormatSpeed(double per_second);

}  // namespace bertie::cli
