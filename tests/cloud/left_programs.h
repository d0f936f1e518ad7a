// Programs and state that a process of the cloud left when it was killed.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/jobs/job_record.h"
#include "cloud/processes/child_process.h"
#include "cloud/s3/object_files.h"
#include "cloud/s3/object_store.h"
#include "cloud/state.h"
#include "cloud/tags.h"
#include "cloud/transform/transform_rows.h"
#include "eventually.h"

namespace bertie::cloud {

class LeftProgramsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder.emplace(*TemporaryDirectory::Create());
    store = *ObjectStore::Open(folder->path(), [](std::string_view) {});
    ASSERT_TRUE(store->CreateBucket("b", "us-west-2").ok());
    state = *State::Open(folder->path(), {JobSchema(), TransformSchema(), TagSchema()});
  }
  void TearDown() override {
    for (const auto& place : left) ChildProcess::KillLast(place, 5'000);
  }

  // Of the child of this folder, which runs until somebody ends it.
  ProcessId Leave(const std::filesystem::path& place, const std::string& script = "sleep 1000") {
    auto child = ChildProcess::Start(
        {.arguments = {"sh", "-c", script}, .environment = ThisEnvironment(), .folder = place});
    EXPECT_TRUE(child.ok()) << child.error().message;
    left.push_back(place);
    return child.ok() ? child->id() : ProcessId();
  }
  static bool Ends(const ProcessId& program) {
    return Eventually([&] { return !program.Lives(); });
  }
  static void Write(const std::filesystem::path& file, const std::string& text = "x") {
    ASSERT_TRUE(MakeFolders(file.parent_path()).ok());
    ASSERT_TRUE(WriteFileAtomically(file, text).ok());
  }
  static bool Exists(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
  }
  void Put(const std::string& key, const std::string& bytes = "x") {
    ObjectWriter writer(*store);
    ASSERT_TRUE(writer.Write(bytes).ok());
    ASSERT_TRUE(writer.Finish({"b", key}, "").ok());
  }
  void Change(const std::function<Done(Database&)>& change) {
    const Done done = state->Change<std::monostate>(change);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  std::optional<TemporaryDirectory> folder;
  std::unique_ptr<ObjectStore> store;
  std::unique_ptr<State> state;
  std::vector<std::filesystem::path> left;
};

}  // namespace bertie::cloud
