// Line plots as inline SVG on a page of their own.
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

struct PlotPoint {
  double x = 0, y = 0;
};

struct Curve {
  std::string name;
  std::vector<PlotPoint> points;  // x rising
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  // then every value on that axis is above 0
  std::vector<Curve> curves;          // at most four, at least one point in all
};

// A page with the plots and, below them, text in its lines. It takes the reader's light or dark
// colours and loads nothing from anywhere.
std::string HtmlPage(const std::string& title, const std::vector<Plot>& plots,
                     const std::string& text);

}  // namespace bertie::cli
