#include "cli/checks.h"

#include <sstream>
#include <string>

namespace bertie::cli {

CLI::Validator Between(double least, double most) {
  std::ostringstream range;
  range << "FLOAT in [" << least << " - " << most << ']';
  const std::string name = range.str();
  return {[least, most, name](std::string& text) {
            double value = 0;
            const bool inside =
                CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
            return inside ? std::string() : "Value " + text + " not in " + name;
          },
          name};
}

}  // namespace bertie::cli
