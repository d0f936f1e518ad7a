#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/elapsed.h"
#include "base/figures.h"
#include "cli/table.h"

namespace bertie::cli {
namespace {

constexpr double kQuietSeconds = 1;     // shorter work shows nothing
constexpr double kRedrawSeconds = 0.1;  // on a terminal
constexpr double kLineSeconds = 10;     // elsewhere
constexpr int64_t kLinesInAll = 10;     // elsewhere, for work of up to 100 s

bool IsTerminal() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

size_t TerminalWidth() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string Bar(double share) {
  constexpr int kWidth = 20;
  const int full = static_cast<int>(share * kWidth);
  return "[" + std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kWidth - full), '.') + "]";
}

}  // namespace

std::string FormatSpeed(double per_second) {
  if (!std::isfinite(per_second)) return "?";
  if (per_second >= 99.95) return FormatCount(std::llround(per_second));
  return FormatFixed(per_second, per_second >= 9.995 ? 1 : per_second >= 0.9995 ? 2 : 3);
}

std::string FormatDuration(double seconds) {
  const int64_t whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (whole < 60) return std::to_string(whole) + " s";
  const auto two = [](int64_t number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  const int64_t minutes = whole / 60;
  if (minutes < 60) return std::to_string(minutes) + ":" + two(whole % 60);
  return std::to_string(minutes / 60) + ":" + two(minutes % 60) + ":" + two(whole % 60);
}

Progress::Progress(Options options)
    : options_(std::move(options)), terminal_(IsTerminal()), start_(Clock::now()), drawn_(start_) {}

Progress::~Progress() { Clear(); }

double Progress::seconds() const { return SecondsSince(start_); }

double Progress::speed() const {
  const double time = seconds();
  return time > 0 ? static_cast<double>(done_ - options_.before) / time : 0;
}

void Progress::Update(int64_t done, std::optional<double> loss) {
  done_ = done;
  if (loss) loss_ = loss;
  if (options_.quiet) return;
  const double since_start = seconds();
  const double since_drawn = SecondsSince(drawn_);
  if (since_start < kQuietSeconds) return;
  bool due = since_drawn >= (terminal_ ? kRedrawSeconds : kLineSeconds);
  if (!terminal_ && options_.total > 0 && since_drawn >= kQuietSeconds) {
    due |= (done_ - drawn_done_) * kLinesInAll >= options_.total;
  }
  if (due) Draw();
}

std::string Progress::Line(bool finished) const {
  std::string line = options_.title.empty() ? "" : options_.title + "  ";
  const double time = seconds();
  if (finished) {
    line += FormatCount(done_) + " " + options_.unit + " in " + FormatDuration(time);
  } else if (options_.total > 0) {
    const double share =
        std::clamp(static_cast<double>(done_) / static_cast<double>(options_.total), 0.0, 1.0);
    if (terminal_) line += Bar(share) + " ";
    line += std::to_string(static_cast<int>(share * 100)) + "%  " + FormatCount(done_) + "/" +
            FormatCount(options_.total) + " " + options_.unit;
  } else {
    line += FormatCount(done_) + " " + options_.unit;
  }
  line += "  " + FormatSpeed(speed()) + "/s";
  if (!finished && options_.total > done_ && done_ > 0) {
    line += "  " + FormatDuration(static_cast<double>(options_.total - done_) / speed()) + " left";
  }
  if (loss_) line += "  loss " + FormatFixed(*loss_, 4);
  return line;
}

// One write each, so that lines of several processes do not mix. A failure to show progress is no
// reason to stop the work.
void Progress::Draw() {
  drawn_ = Clock::now();
  drawn_done_ = done_;
  shown_ = true;
  std::string text = Line(false);
  if (terminal_) {
    text = "\r" + OneLine(text, TerminalWidth() - 1) + "\033[K";
    on_line_ = true;
  } else {
    text += "\n";
  }
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

void Progress::Clear() {
  if (!on_line_) return;
  on_line_ = false;
  constexpr std::string_view kErase = "\r\033[K";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kErase.data(), kErase.size());
}

void Progress::Finish() {
  if (!shown_) return;
  Clear();
  shown_ = false;
  const std::string text = Line(true) + "\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace bertie::cli
