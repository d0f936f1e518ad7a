#include "cli/sagemaker/data.h"

#include <algorithm>
#include <initializer_list>
#include <iostream>
#include <system_error>
#include <vector>

#include "cli/model_argument.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::initializer_list<const char*> kTrainChannels = {"training", "train"};
constexpr std::initializer_list<const char*> kTestChannels = {"testing", "test", "validation",
                                                              "valid",   "dev",  "eval"};
constexpr const char* kModelChannel = "model";

template <class Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Names>
std::string Listed(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text.empty() ? "nothing" : text;
}

// Names, sorted. Hidden ones and those that begin with "_" (Spark's _SUCCESS) are no data.
std::vector<std::string> FilesIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name[0] != '.' && name[0] != '_' && entry.is_regular_file(error)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsTable(const std::string& name) {
  for (const char* ending : {".csv", ".tsv", ".jsonl", ".json", ".ndjson"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// stems: what the file may be called where there are several.
Result<fs::path> FileOf(const std::string& channel, const fs::path& folder,
                        const std::vector<std::string>& stems, const std::string& hyperparameter) {
  const std::vector<std::string> all = FilesIn(folder);
  std::vector<std::string> files = all;
  std::erase_if(files, [](const std::string& name) { return !IsTable(name); });
  if (files.empty()) files = all;
  if (files.size() > 1) {
    std::vector<std::string> called;
    for (const std::string& name : files) {
      if (Contains(stems, name.substr(0, name.find('.')))) called.push_back(name);
    }
    if (!called.empty()) files = called;
  }
  if (files.size() == 1) return folder / files[0];
  if (files.empty()) {
    return Error{ErrorCode::kNotFound,
                 "channel " + channel + ": no data file in " + folder.string()};
  }
  return Error{ErrorCode::kInvalidArgument,
               "channel " + channel + " holds " + std::to_string(files.size()) + " data files (" +
                   Listed(files) + "); name one with the hyperparameter " + hyperparameter};
}

// The first of the names that there is a channel of; "" where there is none.
std::string FirstOf(const Channels& channels, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (channels.contains(name)) return name;
  }
  return "";
}

// "training", or a channel of any other name where it is the only one.
std::string TrainChannel(const Channels& channels) {
  if (const std::string name = FirstOf(channels, kTrainChannels); !name.empty()) return name;
  std::vector<std::string> others;
  for (const auto& [name, folder] : channels) {
    if (name != kModelChannel && !Contains(kTestChannels, name)) others.push_back(name);
  }
  return others.size() == 1 ? others[0] : "";
}

std::vector<std::string> Names(const Channels& channels) {
  std::vector<std::string> names;
  for (const auto& [name, folder] : channels) names.push_back(name);
  return names;
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The file as the hyperparameter names it.
Result<fs::path> NamedFile(const std::string& name, const fs::path& folder) {
  if (!folder.empty() && Exists(folder / name)) return folder / name;
  if (Exists(name)) return fs::path(name);
  return Error{ErrorCode::kNotFound,
               "no file " + name + (folder.empty() ? "" : ", nor one in " + folder.string())};
}

Result<fs::path> ModelIn(const fs::path& folder) {
  if (Exists(folder / "config.json")) return folder;
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (Exists(entry.path() / "config.json") || name.ends_with(".tar.gz")) {
      found.push_back(entry.path());
    }
  }
  if (found.size() == 1) return found[0];
  return Error{ErrorCode::kNotFound,
               "channel model: expected config.json, or one folder or .tar.gz of a model, in " +
                   folder.string() + "; found " + std::to_string(found.size()) +
                   " of these; a hyperparameter model can name one"};
}

}  // namespace

Result<ChannelFiles> FindChannelFiles(const Channels& channels, const NamedFiles& named) {
  ChannelFiles files;
  const std::string train = TrainChannel(channels);
  const fs::path train_folder = train.empty() ? fs::path() : channels.at(train);
  if (!named.train.empty()) {
    BERTIE_ASSIGN_OR_RETURN(files.train, NamedFile(named.train, train_folder));
  } else if (train.empty()) {
    return Error{ErrorCode::kNotFound, "no training data: expected a channel " +
                                           Listed(kTrainChannels) + "; found " +
                                           Listed(Names(channels))};
  } else {
    BERTIE_ASSIGN_OR_RETURN(files.train, FileOf(train, train_folder, {"train"}, "train_file"));
  }
  const std::string test = FirstOf(channels, kTestChannels);
  const fs::path test_folder = test.empty() ? train_folder : channels.at(test);
  if (!named.test.empty()) {
    BERTIE_ASSIGN_OR_RETURN(files.test, NamedFile(named.test, test_folder));
  } else if (!test.empty()) {
    BERTIE_ASSIGN_OR_RETURN(
        files.test,
        FileOf(test, test_folder, {"test", "validation", "valid", "dev", "eval"}, "test_file"));
  }
  for (const auto& [name, folder] : channels) {
    if (name != train && name != test && name != kModelChannel) {
      std::cout << "bertie: channel " << name << " is not used" << std::endl;
    }
  }
  return files;
}

Result<fs::path> FindChannelModel(const Channels& channels, const NamedFiles& named) {
  const auto channel = channels.find(kModelChannel);
  if (!named.model.empty()) {
    if (channel != channels.end() && Exists(channel->second / named.model)) {
      return channel->second / named.model;
    }
    return ResolveModel(named.model);
  }
  if (channel != channels.end()) return ModelIn(channel->second);
  return FindBaseModel();
}

}  // namespace bertie::cli
