// Line plots as SVG to stand in a page (html.h).
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

struct PlotPoint {
  double x = 0, y = 0;  // finite
};

struct Curve {
  std::string name;
  std::vector<PlotPoint> points;  // x rising
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  // then every value on that axis is above 0
  std::vector<Curve> curves;          // at most four, at least one point in all
  std::string description = {};       // for those who cannot see it; empty: the title
};

// An <svg> element; its colours come from the page's style. Axes that are not logarithmic begin at
// 0, or below it where a value is. Each point has a dot that tells its values, unless they are
// many.
std::string ToSvg(const Plot& plot);

}  // namespace bertie::cli
