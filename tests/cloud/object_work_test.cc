// What is made of objects: a transform job's requests and outputs, and the cache of models.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/endpoints/model_cache.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/s3/object_files.h"
#include "cloud/transform/object_answers.h"
#include "cloud/transform/object_requests.h"

namespace bertie::cloud {
namespace {

class ObjectWorkTest : public testing::Test {
 protected:
  void SetUp() override {
    folder.emplace(*TemporaryDirectory::Create("bertie-", ""));
    auto opened = ObjectStore::Open(folder->path() / "data", [](std::string_view) {});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store = *std::move(opened);
    ASSERT_TRUE(store->CreateBucket("b", "us-west-2").ok());
  }
  void Put(const std::string& key, const std::string& bytes) {
    ObjectWriter writer(*store);
    ASSERT_TRUE(writer.Write(bytes).ok());
    ASSERT_TRUE(writer.Finish({"b", key}, "").ok());
  }
  std::string Get(const std::string& key) {
    auto text = ReadObjectText(*store, {"b", key}, 1 << 20);
    return text.ok() ? *text : text.error().code;
  }
  // The bodies of an object's requests, each in brackets.
  std::string Requests(const std::string& bytes, const TransformRequest& job) {
    Put("in", bytes);
    auto requests = ObjectRequests::Open(*store, {"b", "in", 0, "in"}, job, folder->path());
    if (!requests.ok()) return requests.error().message;
    std::string text;
    while (true) {
      auto request = requests->Next();
      if (!request.ok()) return text + request.error().message;
      if (!*request) return text;
      text += "[" + (*request)->body + "]";
    }
  }
  std::string Joined(const TransformRequest& job, const std::string& records,
                     const std::string& answer) {
    ObjectAnswers answers(*store, job);
    const Done added = answers.Add({.body = {}, .records = records}, answer, "text/x");
    if (!added.ok()) return added.error().message;
    EXPECT_TRUE(answers.Finish({"b", "out"}, {}).ok());
    return Get("out");
  }

  std::optional<TemporaryDirectory> folder;
  std::unique_ptr<ObjectStore> store;
};

TEST_F(ObjectWorkTest, RowsArePackedWhole) {
  TransformRequest job;
  job.content_type = "text/csv";
  job.by_line = true;
  job.max_payload = 8;
  EXPECT_EQ(Requests("aaa\nbb\ncccc\nd", job), "[aaa\nbb\n][cccc\nd]");
  EXPECT_EQ(Requests("aaa\nbbb\nc\n", job), "[aaa\nbbb\n][c\n]");
  EXPECT_EQ(Requests("", job), "");
  EXPECT_EQ(Requests("a\n123456789\n", job),
            "record 2 has more than the 8 bytes of MaxPayloadInMB");
  EXPECT_EQ(Requests("a\n" + std::string(1 << 20, 'x'), job),
            "record 2 has more than the 8 bytes of MaxPayloadInMB");
  job.single_record = true;
  EXPECT_EQ(Requests("aaa\nbb\n", job), "[aaa\n][bb\n]");
  job.by_line = false;
  EXPECT_EQ(Requests("aaa\nbb\n", job), "[aaa\nbb\n]");
  EXPECT_EQ(Requests("aaa\nbbbbbb\n", job),
            "it has more than the 8 bytes of MaxPayloadInMB, and SplitType is None");
}

TEST_F(ObjectWorkTest, LinesOfJsonAndOfTextAreRequestsOfTheirOwn) {
  TransformRequest job;
  job.content_type = "application/jsonlines; charset=utf-8";
  EXPECT_EQ(Requests("\"a\"\r\n{\"inputs\":1}", job), R"(["a"][{"inputs":1}])");
  job.content_type = "Text/Plain";
  EXPECT_EQ(Requests("say \"a\"\n\nb\n", job), R"(["say \"a\""][""]["b"])");
  // Longer than what is read at once.
  const std::string line(700'000, 'y');
  EXPECT_EQ(Requests(line + "\nz", job), "[\"" + line + "\"][\"z\"]");
}

TEST_F(ObjectWorkTest, AnswersStandBesideTheirRecords) {
  TransformRequest job;
  job.content_type = "application/json";
  job.by_line = job.join = true;
  EXPECT_EQ(Joined(job, "{\"a\": 1 }\n", "[0.5]\n"), "{\"a\": 1,\"SageMakerOutput\":[0.5]}\n");
  EXPECT_EQ(Joined(job, "{ }", "[0.5]"), "{\"SageMakerOutput\":[0.5]}\n");
  EXPECT_EQ(Joined(job, "\"a\"", "1"), "{\"SageMakerInput\":\"a\",\"SageMakerOutput\":1}\n");
  job.content_type = "text/csv";
  EXPECT_EQ(Joined(job, "a,b\r\nc", "1,2\n3,4\n"), "a,b,1,2\nc,3,4\n");
  EXPECT_EQ(Joined(job, "a\nb\n", "1\n"), "2 records got 1 answers, which cannot be joined");
  job.join = false;
  EXPECT_EQ(Joined(job, "", "1"), "1");
  job.line_ends = true;
  EXPECT_EQ(Joined(job, "", "1"), "1\n");
  EXPECT_EQ(Joined(job, "", "1\n"), "1\n");
}

TEST_F(ObjectWorkTest, FilesOfAFolderAreToldFromOthers) {
  const auto check = [](const std::vector<std::string>& paths) -> std::string {
    std::vector<ObjectFile> files;
    for (const std::string& path : paths) files.push_back({"b", "k/" + path, 0, path});
    const Done done = CheckFilePaths(files);
    return done.ok() ? "" : done.error().code + (": " + done.error().message);
  };
  EXPECT_EQ(check({"a", "ab", "b/c", "b/d/e", "a.b"}), "");
  EXPECT_EQ(check({"a", "b//c"}),
            "InvalidKey: the key 'k/b//c' is no path of a file: 'b//c' must be names between "
            "single slashes, none . or ..");
  EXPECT_EQ(check({"a", "a.b", "a/b/c"}),
            "InvalidKey: the key 'k/a/b/c' is no path of a file beside 'a', which is one");
  EXPECT_EQ(check({"a", "b", "a"}), "");  // one key, which a manifest may have twice
  Put("in/tr/train", "x");
  Put("in/train", "x");
  const Done same = CheckFilePaths(*FilesUnder(*store, {"b", "in/tr"}));
  ASSERT_FALSE(same.ok());
  EXPECT_EQ(same.error().message,
            "the keys 'in/tr/train' and 'in/train' would both be the file 'train'");
}

// A model that cannot be had as a whole leaves the one that was fetched before.
TEST_F(ObjectWorkTest, AModelIsReplacedAsAWhole) {
  namespace fs = std::filesystem;
  const auto at = folder->path() / "model";
  ContainerPlan archive, files;
  archive.data_url = "s3://b/m.tar.gz";
  files.data_url = "s3://b/m/";
  files.data_folder = true;
  const auto text = [](const fs::path& path) { return ReadFile(path, 1 << 20).value(); };
  for (const std::string& bytes : {std::string("old"), std::string(100'000, 'n')}) {
    Put("m.tar.gz", bytes);
    ASSERT_TRUE(FetchModelData(*store, archive, at).ok());
    EXPECT_EQ(text(at / "model.tar.gz"), bytes);
  }
  for (const auto& blob : fs::recursive_directory_iterator(folder->path() / "data" / "objects")) {
    if (blob.is_regular_file()) fs::resize_file(blob.path(), 10);
  }
  EXPECT_FALSE(FetchModelData(*store, archive, at).ok());
  EXPECT_EQ(text(at / "model.tar.gz").size(), 100'000U);

  Put("m/a", "1");
  Put("m/b", "1");
  ASSERT_TRUE(FetchModelData(*store, files, at).ok());
  Put("m/a", "2");
  Put("m/b/c", "2");
  const Done refused = FetchModelData(*store, files, at);
  ASSERT_FALSE(refused.ok());
  EXPECT_STREQ(refused.error().code, "ClientError");
  EXPECT_EQ(text(at / "model" / "a"), "1");
  ASSERT_TRUE(store->Delete("b", {"m/b"}).ok());
  ASSERT_TRUE(FetchModelData(*store, files, at).ok());
  EXPECT_EQ(FilesBelow(at / "model"), (std::vector<std::string>{"a", "b/c"}));
  EXPECT_EQ(text(at / "model" / "a"), "2");
  EXPECT_FALSE(fs::exists(at / "model.new"));
}

TEST_F(ObjectWorkTest, TheCacheKeepsWhatWasUsedLast) {
  const auto path = folder->path() / "cache";
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(path),
                         std::filesystem::directory_iterator());
  };
  const auto get = [&](ModelCache& cache, const std::string& key) {
    return cache.Get(*store, {"b", key});
  };
  for (const char* key : {"a.tar.gz", "b.tar.gz", "c.pt"}) Put(key, std::string(40, key[0]));
  {
    ModelCache cache(path, 100);
    auto a = get(cache, "a.tar.gz");
    ASSERT_TRUE(a.ok()) << a.error().message;
    EXPECT_TRUE((*a)->string().ends_with("-model.tar.gz"));
    ASSERT_TRUE(get(cache, "b.tar.gz").ok());
    // The one that somebody uses stays, though it is the older.
    auto c = get(cache, "c.pt");
    ASSERT_TRUE(c.ok()) << c.error().message;
    EXPECT_EQ((*c)->extension(), ".pt");
    EXPECT_TRUE(std::filesystem::exists(**a));
    EXPECT_EQ(files(), 2);
    // Another content is another file.
    Put("a.tar.gz", std::string(40, 'x'));
    auto changed = get(cache, "a.tar.gz");
    ASSERT_TRUE(changed.ok());
    EXPECT_NE(**changed, **a);
    Put("large", std::string(101, 'x'));
    EXPECT_STREQ(get(cache, "large").error().code, "ClientError");
    EXPECT_STREQ(get(cache, "none").error().code, "NoSuchKey");
  }
  // An earlier process's files count.
  ModelCache cache(path, 50);
  ASSERT_TRUE(get(cache, "b.tar.gz").ok());
  EXPECT_EQ(files(), 1);
}

}  // namespace
}  // namespace bertie::cloud
