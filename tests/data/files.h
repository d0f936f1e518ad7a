// Small files for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "base/directory.h"

namespace bertie::data {

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = TemporaryDirectory::Create();
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    dir_.emplace(std::move(*dir));
  }

  // Writes the file and gives its path.
  std::string Write(const std::string& name, const std::string& content) {
    const std::filesystem::path path = dir_->path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }

  // The message without the folder's name before it.
  std::string Short(const std::string& message) const {
    const std::string prefix = dir_->path().string() + "/";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  }

  std::optional<TemporaryDirectory> dir_;
};

}  // namespace bertie::data
