#include "cli/served_models.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "base/quote.h"
#include "cli/model_argument.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxKeyFileBytes = 1 << 20;

// "sentiment" of /models/sentiment, sentiment.tar.gz and someone/sentiment@main.
std::string NameOf(const std::string& model) {
  fs::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  std::string name = path.filename().string();
  for (const std::string_view ending : {".tar.gz", ".tgz", ".pt", ".pth"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  name.resize(std::min(name.size(), name.find('@')));
  return name.empty() || name == "." || name == ".." ? "model" : name;
}

bool IsName(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

ServedModel SplitName(const std::string& argument) {
  const size_t equals = argument.find('=');
  std::error_code error;
  if (equals == std::string::npos || !IsName(argument.substr(0, equals)) ||
      fs::exists(argument, error)) {
    return {NameOf(argument), argument, {}};
  }
  return {argument.substr(0, equals), argument.substr(equals + 1), {}};
}

}  // namespace

Result<std::vector<ServedModel>> ResolveServedModels(const std::vector<std::string>& arguments) {
  std::vector<ServedModel> models;
  for (const std::string& argument : arguments) {
    ServedModel model = SplitName(argument);
    const auto same = std::find_if(models.begin(), models.end(), [&](const ServedModel& other) {
      return other.name == model.name;
    });
    if (same != models.end()) {
      return Error{ErrorCode::kInvalidArgument, same->shown + " and " + model.shown +
                                                    " would both be called " + Quote(model.name) +
                                                    "; give one another name: NAME=" + model.shown};
    }
    BERTIE_ASSIGN_OR_RETURN(model.path, ResolveModel(model.shown));
    models.push_back(std::move(model));
  }
  return models;
}

Result<std::vector<std::string>> ReadKeys(const std::string& file, const char* variable) {
  std::vector<std::string> keys;
  std::string text;
  if (!file.empty()) {
    BERTIE_ASSIGN_OR_RETURN(text, ReadFile(file, kMaxKeyFileBytes));
  }
  if (const char* value = std::getenv(variable)) text.append("\n").append(value);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    line = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    if (std::any_of(line.begin(), line.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) {
      return Error{ErrorCode::kInvalidData,
                   (file.empty() ? variable : file) +
                       ": found blanks, control bytes or bytes outside ASCII within a key"};
    }
    keys.push_back(std::move(line));
  }
  if (!file.empty() && keys.empty()) {
    return Error{ErrorCode::kInvalidData, file + ": found no key, expected one a line"};
  }
  return keys;
}

}  // namespace bertie::cli
