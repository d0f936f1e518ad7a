#include "cli/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/figures.h"
#include "cli/html.h"

namespace bertie::cli {
namespace {

constexpr double kWidth = 640, kHeight = 360;
constexpr double kLeft = 64, kRight = 72, kTop = 28, kBottom = 48;

// "0.5", "128", "2500": up to three significant digits below 1,000.
std::string TickText(double value) {
  const int digits = value >= 100 || value == 0
                         ? 0
                         : static_cast<int>(std::ceil(2 - std::log10(std::abs(value)) - 1e-9));
  std::string text = FormatFixed(value, std::clamp(digits, 0, 6));
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// Maps values to pixels, and knows which values to mark.
class Axis {
 public:
  Axis(double low, double high, bool log, double from, double to)
      : log_(log), from_(from), to_(to) {
    if (log_) {
      low_ = low / 1.1;
      high_ = high * 1.1;
    } else {
      low_ = std::min(0.0, low * 1.05);
      high_ = high > 0 ? high * 1.05 : low_ + 1;
    }
  }

  double At(double value) const {
    const double part =
        log_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
    return from_ + part * (to_ - from_);
  }

  std::vector<double> Ticks() const {
    std::vector<double> ticks;
    if (!log_) {
      const double step = NiceStep((high_ - low_) / 6);
      const double first = std::ceil(low_ / step);
      for (int i = 0; (first + i) * step <= high_; ++i) ticks.push_back((first + i) * step);
      return ticks;
    }
    // 1, 2, 5 of each decade, or the decades alone where those would be too many.
    const bool fine = high_ / low_ < 2000;
    for (double decade = std::pow(10, std::floor(std::log10(low_))); decade <= high_;
         decade *= 10) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double value = decade * factor;
        if (value >= low_ && value <= high_ && (fine || factor == 1.0)) ticks.push_back(value);
      }
    }
    return ticks;
  }

 private:
  static double NiceStep(double least) {
    const double decade = std::pow(10, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (decade * factor >= least) return decade * factor;
    }
    return decade * 10;
  }

  bool log_;
  double low_ = 0, high_ = 1;
  double from_, to_;
};

std::string Line(const char* kind, double x1, double y1, double x2, double y2) {
  return std::string("<line class=\"") + kind + "\" x1=\"" + FormatFixed(x1, 1) + "\" y1=\"" +
         FormatFixed(y1, 1) + "\" x2=\"" + FormatFixed(x2, 1) + "\" y2=\"" + FormatFixed(y2, 1) +
         "\"/>\n";
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + FormatFixed(x, 1) + "\" y=\"" + FormatFixed(y, 1) + "\" text-anchor=\"" +
         anchor + "\">" + EscapeHtml(text) + "</text>\n";
}

// The values on x that were measured, so that each can be read off; those the axis chooses where
// they are many.
std::vector<double> XTicks(const Plot& plot, const Axis& axis) {
  std::vector<double> measured;
  for (const Curve& curve : plot.curves) {
    for (const PlotPoint& point : curve.points) measured.push_back(point.x);
  }
  std::sort(measured.begin(), measured.end());
  measured.erase(std::unique(measured.begin(), measured.end()), measured.end());
  constexpr double kApart = 36;
  for (size_t i = 1; i < measured.size(); ++i) {
    if (axis.At(measured[i]) - axis.At(measured[i - 1]) < kApart) return axis.Ticks();
  }
  return measured;
}

// Beyond this many points dots would run into each other.
constexpr size_t kMostDots = 60;

std::string DotSvg(const Curve& curve, const PlotPoint& point, const std::string& attributes,
                   const Plot& plot) {
  return "<circle " + attributes + " r=\"3.5\"><title>" + EscapeHtml(curve.name) + ": " +
         TickText(point.y) + " " + EscapeHtml(plot.y_label) + " at " + TickText(point.x) + " " +
         EscapeHtml(plot.x_label) + "</title></circle>\n";
}

std::string CurveSvg(const Curve& curve, size_t number, const Plot& plot, const Axis& x,
                     const Axis& y) {
  const std::string colour = "c" + std::to_string(number);
  std::string path, dots;
  for (const PlotPoint& point : curve.points) {
    const std::string px = FormatFixed(x.At(point.x), 1), py = FormatFixed(y.At(point.y), 1);
    path += (path.empty() ? "" : " ") + px + "," + py;
    if (curve.points.size() > kMostDots) continue;
    dots +=
        DotSvg(curve, point, "class=\"" + colour + "\" cx=\"" + px + "\" cy=\"" + py + "\"", plot);
  }
  const bool dense = curve.points.size() > kMostDots && plot.curves.size() > 1;
  return "<polyline class=\"" + colour + (dense ? " dense" : "") + "\" points=\"" + path +
         "\"/>\n" + dots;
}

// The curves' names at their ends, moved apart where they would cover each other.
std::string Names(const Plot& plot, const Axis& x, const Axis& y) {
  struct Name {
    double x, y;
    std::string text;
  };
  std::vector<Name> names;
  for (const Curve& curve : plot.curves) {
    if (curve.points.empty()) continue;
    const PlotPoint& last = curve.points.back();
    names.push_back({x.At(last.x) + 8, y.At(last.y) + 4, curve.name});
  }
  std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.y > b.y; });
  std::string svg;
  double above = std::numeric_limits<double>::max();
  for (Name& name : names) {
    name.y = std::min(name.y, above - 14);
    above = name.y;
    svg += Text(name.x, name.y, "start", name.text);
  }
  return svg;
}

}  // namespace

std::string ToSvg(const Plot& plot) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  double x_low = kLargest, x_high = -kLargest, y_low = kLargest, y_high = -kLargest;
  for (const Curve& curve : plot.curves) {
    for (const PlotPoint& point : curve.points) {
      x_low = std::min(x_low, point.x);
      x_high = std::max(x_high, point.x);
      y_low = std::min(y_low, point.y);
      y_high = std::max(y_high, point.y);
    }
  }
  const Axis x(x_low, x_high, plot.log_x, kLeft, kWidth - kRight);
  const Axis y(y_low, y_high, plot.log_y, kHeight - kBottom, kTop);
  std::string svg = "<svg viewBox=\"0 0 " + FormatFixed(kWidth, 0) + " " + FormatFixed(kHeight, 0) +
                    "\" role=\"img\" aria-label=\"" +
                    EscapeHtml(plot.description.empty() ? plot.title : plot.description) + "\">\n";
  for (const double tick : y.Ticks()) {
    svg += Line("grid", kLeft, y.At(tick), kWidth - kRight, y.At(tick)) +
           Text(kLeft - 8, y.At(tick) + 4, "end", TickText(tick));
  }
  for (const double tick : XTicks(plot, x)) {
    svg += Line("grid", x.At(tick), kTop, x.At(tick), kHeight - kBottom) +
           Text(x.At(tick), kHeight - kBottom + 18, "middle", TickText(tick));
  }
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - 10, "middle", plot.x_label) +
         Text(8, kTop - 14, "start", plot.y_label);
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    svg += CurveSvg(plot.curves[i], i, plot, x, y);
  }
  return svg + Names(plot, x, y) + "</svg>\n";
}

}  // namespace bertie::cli
