// The store under S3, and the small formats around it.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/directory.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/s3/object_files.h"
#include "cloud/s3/object_rows.h"
#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_body.h"
#include "cloud/s3/s3_request.h"
#include "cloud/times.h"
#include "cloud/uri.h"
#include "cloud/xml.h"

namespace bertie::cloud {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    // In memory where there is such a place: the many syncs would take seconds.
    const char* memory = "/dev/shm";
    folder.emplace(*TemporaryDirectory::Create(
        "bertie-", std::filesystem::is_directory(memory) ? memory : ""));
    Reopen();
    ASSERT_TRUE(store->CreateBucket("bucket", "us-west-2").ok());
  }
  void Reopen() {
    store.reset();
    auto opened =
        ObjectStore::Open(folder->path() / "data", [this](std::string_view line) { log += line; });
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store = *std::move(opened);
  }
  Outcome<Object> Put(const std::string& key, const std::string& bytes,
                      const WriteConditions& conditions = {}) {
    auto blob = store->NewBlob();
    EXPECT_TRUE(blob->Write(bytes).ok());
    return store->Put("bucket", key, *blob, {.etag = "e" + std::to_string(bytes.size())},
                      conditions);
  }
  std::string Get(const std::string& key) {
    auto object = store->Find("bucket", key);
    if (!object.ok()) return object.error().code;
    return Read(*object, 0, object->size);
  }
  std::string Read(const Object& object, uint64_t begin, uint64_t size) {
    auto content = store->Read(object, begin, size);
    if (!content.ok()) return content.error().code;
    std::string bytes = content->bytes;
    for (const http::FilePiece& piece : content->files) {
      EXPECT_TRUE(ReadPiece(piece, [&](std::string_view part) -> Status {
                    bytes += part;
                    return {};
                  }).ok());
    }
    return bytes;
  }
  int Files() {
    int files = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder->path() / "data" / "objects")) {
      files += entry.is_regular_file();
    }
    return files;
  }
  std::string Listed(const ListOptions& options) {
    auto listing = store->List("bucket", options);
    std::string text;
    for (const Object& object : listing->objects) text += object.key + " ";
    for (const std::string& prefix : listing->prefixes) text += "[" + prefix + "] ";
    return text + (listing->truncated ? "..." : ".");
  }

  std::optional<TemporaryDirectory> folder;
  std::unique_ptr<ObjectStore> store;
  std::string log;
};

const std::string kLarge(100'000, 'x');

TEST_F(StoreTest, ObjectsOfAnySizeComeBackAlsoAfterAStart) {
  for (size_t size : {0, 1, 16 * 1024, 16 * 1024 + 1, 100'000}) {
    ASSERT_TRUE(Put("k" + std::to_string(size), std::string(size, 'y')).ok());
  }
  EXPECT_EQ(Files(), 2);
  Reopen();
  for (size_t size : {0, 1, 16 * 1024, 16 * 1024 + 1, 100'000}) {
    EXPECT_EQ(Get("k" + std::to_string(size)), std::string(size, 'y'));
  }
  EXPECT_EQ(log, "");
  EXPECT_EQ(store->FindBucket("bucket")->region, "us-west-2");
}

TEST_F(StoreTest, KeysAreNoPaths) {
  for (const char* key : {"../../etc/passwd", "/abs", "a//b", ".", "..", "a/../b", "\x01\xff"}) {
    ASSERT_TRUE(Put(key, kLarge + key).ok());
    EXPECT_EQ(Get(key), kLarge + key);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder->path()),
                          std::filesystem::directory_iterator()),
            1);
}

TEST_F(StoreTest, FilesOfKeys) {
  const auto copy = [&](const std::string& path) -> std::string {
    const Done done = CopyToFile(*store, {"bucket", path, 0, path}, folder->path() / "files");
    return done.ok() ? "" : done.error().code;
  };
  const auto model = [&](const std::string& prefix) -> std::string {
    ContainerPlan container;
    container.data_url = "s3://bucket/" + prefix;
    container.data_folder = true;
    const Done done = FetchModelData(*store, container, folder->path() / "model-data");
    return done.ok() ? "" : done.error().code;
  };
  for (const char* path : {"f", "a/b", "a/..b", "...", "a b/c"}) {
    ASSERT_TRUE(Put(path, "x").ok());
    ASSERT_TRUE(Put(std::string("good/") + path, "x").ok());
    EXPECT_TRUE(IsFilePath(path)) << path;
    EXPECT_EQ(copy(path), "") << path;
    EXPECT_TRUE(std::filesystem::exists(folder->path() / "files" / path)) << path;
  }
  EXPECT_EQ(model("good/"), "");
  int number = 0;
  for (const char* path : {"a//b", "/a", "a/./b", ".", "..", "a/../b", "a/.."}) {
    const std::string prefix = "bad" + std::to_string(++number) + "/";
    ASSERT_TRUE(Put(path, "x").ok());
    ASSERT_TRUE(Put(prefix + path, "x").ok());
    EXPECT_FALSE(IsFilePath(path)) << path;
    EXPECT_EQ(copy(path), "InvalidKey") << path;
    EXPECT_EQ(model(prefix), "ClientError") << path;
  }
  EXPECT_FALSE(IsFilePath(""));
  EXPECT_FALSE(IsFilePath("a/"));
  EXPECT_FALSE(IsFilePath(std::string_view("a\0b", 3)));
}

TEST_F(StoreTest, AReaderKeepsTheOldBytes) {
  ASSERT_TRUE(Put("k", kLarge + "old").ok());
  auto object = store->Find("bucket", "k");
  auto content = store->Read(*object, 0, object->size);
  ASSERT_TRUE(Put("k", kLarge + "new!").ok());
  std::string bytes;
  ASSERT_TRUE(ReadPiece(content->files[0], [&](std::string_view part) -> Status {
                bytes += part;
                return {};
              }).ok());
  EXPECT_EQ(bytes, kLarge + "old");
  EXPECT_EQ(Read(*object, 0, 1), "NoSuchKey");  // found before, opened too late: look again
  EXPECT_EQ(Files(), 1);
}

TEST_F(StoreTest, ConditionsHoldForTheObjectThatIsReplaced) {
  const auto code = [](const Outcome<Object>& outcome) {
    return outcome.ok() ? "" : outcome.error().code;
  };
  EXPECT_STREQ(code(Put("k", "1", {.if_match = "\"e1\""})), "NoSuchKey");
  EXPECT_STREQ(code(Put("k", "1", {.if_none_match = "*"})), "");
  EXPECT_STREQ(code(Put("k", "22", {.if_none_match = "*"})), "PreconditionFailed");
  EXPECT_STREQ(code(Put("k", "22", {.if_match = "\"e7\""})), "PreconditionFailed");
  EXPECT_STREQ(code(Put("k", "22", {.if_match = "\"e7\", \"e1\""})), "");
  EXPECT_EQ(Get("k"), "22");
  EXPECT_STREQ(code(Put("k", "333", {.if_match = "*"})), "");
}

TEST_F(StoreTest, OfWritersThatRaceForAKeyOneWins) {
  std::atomic<int> won{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back(
        [&, i] { won += Put("k", std::string(i, 'z'), {.if_none_match = "*"}).ok(); });
  }
  threads.clear();
  EXPECT_EQ(won, 1);
}

TEST_F(StoreTest, CopiesShareTheirBytes) {
  ASSERT_TRUE(Put("a", kLarge).ok());
  auto source = store->Find("bucket", "a");
  ASSERT_TRUE(store->Copy(*source, "bucket", "b", source->attributes).ok());
  ASSERT_TRUE(store->Copy(*source, "bucket", "a", source->attributes).ok());  // onto itself
  EXPECT_EQ(Files(), 1);
  ASSERT_TRUE(store->Delete("bucket", {"a"}).ok());
  EXPECT_EQ(Get("b"), kLarge);
  ASSERT_TRUE(store->Delete("bucket", {"b", "never there"}).ok());
  EXPECT_EQ(Files(), 0);
}

TEST_F(StoreTest, ListsInTheOrderOfBytesWithPrefixesRolledUp) {
  for (const char* key : {"a", "b/1", "b/2", "b/c/3", "b0", "c/", "\xc3\xa4"})
    ASSERT_TRUE(Put(key, "").ok());
  EXPECT_EQ(Listed({}), "a b/1 b/2 b/c/3 b0 c/ \xc3\xa4 .");
  EXPECT_EQ(Listed({.prefix = "b/"}), "b/1 b/2 b/c/3 .");
  EXPECT_EQ(Listed({.delimiter = "/"}), "a b0 \xc3\xa4 [b/] [c/] .");
  EXPECT_EQ(Listed({.prefix = "b/", .delimiter = "/"}), "b/1 b/2 [b/c/] .");
  EXPECT_EQ(Listed({.after = "b/2"}), "b/c/3 b0 c/ \xc3\xa4 .");
  EXPECT_EQ(Listed({.delimiter = "/", .after = "b/"}), "b0 \xc3\xa4 [c/] .");
  EXPECT_EQ(Listed({.max = 3}), "a b/1 b/2 ...");
  EXPECT_EQ(Listed({.delimiter = "/", .max = 2}), "a [b/] ...");
  EXPECT_EQ(Listed({.max = 7}), "a b/1 b/2 b/c/3 b0 c/ \xc3\xa4 .");
  EXPECT_EQ(Listed({.max = 0}), ".");
  EXPECT_EQ(Listed({.prefix = "z"}), ".");
  EXPECT_EQ(Listed({.prefix = "b/", .after = "c"}), ".");
}

TEST_F(StoreTest, PagesMakeTheWhole) {
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(Put(std::to_string(i % 4) + "/" + std::to_string(i), "").ok());
  for (const char* delimiter : {"", "/"}) {
    for (size_t max = 1; max < 9; ++max) {
      ListOptions options{.delimiter = delimiter, .max = max};
      size_t seen = 0;
      while (true) {
        auto page = store->List("bucket", options);
        seen += page->objects.size() + page->prefixes.size();
        if (!page->truncated) break;
        options.after = page->last;
      }
      EXPECT_EQ(seen, *delimiter ? 4u : 40u) << max;
    }
  }
}

TEST_F(StoreTest, UploadsInParts) {
  auto upload = store->CreateUpload("bucket", {.key = "k"});
  ASSERT_TRUE(upload.ok());
  std::string whole;
  for (int64_t number = 70; number >= 1; --number) {
    const std::string bytes(static_cast<size_t>(number), static_cast<char>('a' + number % 26));
    whole.insert(0, bytes);
    for (int again = 0; again < (number == 3 ? 2 : 1); ++again) {
      auto blob = store->NewBlob(BlobKind::kFile);
      ASSERT_TRUE(blob->Write(bytes).ok());
      ASSERT_TRUE(store->PutPart(*upload, {.number = number, .etag = "e"}, *blob).ok());
    }
  }
  EXPECT_EQ(Files(), 70);
  EXPECT_EQ(store->Uploads("bucket")->size(), 1u);
  EXPECT_EQ(store->Parts(*upload, 68, 10)->size(), 2u);
  auto parts = *store->Parts(*upload, 0, 100);
  auto few = std::vector<Part>(parts.begin(), parts.begin() + 5);
  ASSERT_EQ(parts.size(), 70u);
  auto object = store->Complete("bucket", *upload, parts, {.etag = "whole"});
  ASSERT_TRUE(object.ok()) << object.error().message;
  EXPECT_EQ(Get("k"), whole);
  EXPECT_EQ(Files(), 1);  // so many parts are put together
  EXPECT_STREQ(store->Abort(*upload).error().code, "NoSuchUpload");
  // A few parts stay as they are, and a range opens only those that it touches.
  auto second = store->CreateUpload("bucket", {.key = "few"});
  for (int64_t number = 1; number <= 3; ++number) {
    auto blob = store->NewBlob(BlobKind::kFile);
    ASSERT_TRUE(blob->Write(number == 2 ? "" : "abc").ok());
    ASSERT_TRUE(store->PutPart(*second, {.number = number, .etag = "e"}, *blob).ok());
  }
  auto made = store->Complete("bucket", *second, *store->Parts(*second, 0, 10), {.etag = "f"});
  EXPECT_EQ(Read(*made, 2, 2), "ca");
  EXPECT_EQ(store->Read(*made, 4, 1)->files.size(), 1u);
  EXPECT_EQ(Files(), 4);
}

TEST_F(StoreTest, AbortAndDeleteBucketRemoveFiles) {
  auto upload = store->CreateUpload("bucket", {.key = "k"});
  auto blob = store->NewBlob(BlobKind::kFile);
  ASSERT_TRUE(store->PutPart(*upload, {.number = 1, .etag = "e"}, *blob).ok());
  ASSERT_TRUE(Put("k", kLarge).ok());
  EXPECT_STREQ(store->DeleteBucket("bucket").error().code, "BucketNotEmpty");
  ASSERT_TRUE(store->Delete("bucket", {"k"}).ok());
  ASSERT_TRUE(store->DeleteBucket("bucket").ok());
  EXPECT_EQ(Files(), 0);
  EXPECT_EQ(Get("k"), "NoSuchBucket");
  EXPECT_STREQ(Put("k", "x").error().code, "NoSuchBucket");
}

TEST_F(StoreTest, LeftoversAreSweptAndASecondProcessIsRefused) {
  ASSERT_TRUE(Put("k", kLarge).ok());
  {
    auto blob = store->NewBlob();
    ASSERT_TRUE(blob->Write(kLarge).ok());
    EXPECT_EQ(Files(), 2);
  }
  EXPECT_EQ(Files(), 1);  // a connection that broke
  ASSERT_TRUE(WriteFileAtomically(folder->path() / "data/objects/unfinished/u", "torn").ok());
  ASSERT_TRUE(WriteFileAtomically(folder->path() / "data/objects/ab/ab12", "unknown").ok());
  auto second = ObjectStore::Open(folder->path() / "data", [](std::string_view) {});
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  Reopen();
  EXPECT_EQ(Files(), 1);
  EXPECT_NE(log.find("removed 2 files"), std::string::npos) << log;
  EXPECT_EQ(Get("k"), kLarge);
}

TEST(Xml, RoundTrip) {
  XmlWriter writer;
  writer.Open("A", "urn:x").Text("B", "<&>\"' \x01 \xc3\xa4").Open("C").Text("D", "").Close();
  auto parsed = ParseXml(writer.Finish());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->Get("B"), "<&>\"' \x01 \xc3\xa4");
  EXPECT_EQ(parsed->Find("C")->children.size(), 1u);
}

TEST(Xml, RefusesWhatIsNotOneElement) {
  for (const char* text :
       {"", "x", "<a>", "<a></b>", "<a/><b/>", "<a>&bogus;</a>", "<a>&#0;</a>", "<a>&#xd800;</a>",
        "<a b=c/>", "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>", "<a><![CDATA[x</a>",
        "<a>&#x;</a>", "<a", "<a b=\"", "<a>&amp", "<?xml"}) {
    EXPECT_FALSE(ParseXml(text).ok()) << text;
  }
  std::string deep;
  for (int i = 0; i < 17; ++i) deep += "<a>";
  EXPECT_FALSE(ParseXml(deep).ok());
  EXPECT_EQ(ParseXml("<s:a x='1'>t<!-- --><![CDATA[<]]>&#x41;</s:a>")->text, "t<A");
}

TEST(S3Request, BucketAndKeyByPathAndByHost) {
  const Settings settings;
  const auto read = [&](const std::string& host, const std::string& path) -> std::string {
    http::RequestHead head;
    head.path = path;
    head.fields = {{"Host", host}};
    auto request = ReadS3Request(head, settings);
    return request.ok() ? request->bucket + "|" + request->key : request.error().code;
  };
  EXPECT_EQ(read("127.0.0.1:4566", "/"), "|");
  EXPECT_EQ(read("127.0.0.1:4566", "/bucket"), "bucket|");
  EXPECT_EQ(read("127.0.0.1:4566", "/bucket/"), "bucket|");
  EXPECT_EQ(read("localhost:4566", "/bucket/a%20b/..//c+d"), "bucket|a b/..//c+d");
  EXPECT_EQ(read("bucket.localhost:4566", "/key"), "bucket|key");
  EXPECT_EQ(read("my.bucket.s3.eu-west-1.amazonaws.com", "//k"), "my.bucket|/k");
  EXPECT_EQ(read("s3.us-west-2.amazonaws.com", "/bucket/k"), "bucket|k");
  EXPECT_EQ(read("h", "/Bad_Bucket/k"), "InvalidBucketName");
  EXPECT_EQ(read("h", "/bucket/%ff"), "InvalidURI");
  EXPECT_EQ(read("h", "/bucket/" + std::string(1025, 'k')), "KeyTooLongError");
}

TEST(S3Request, Ranges) {
  const auto read = [](const std::string& text, uint64_t total) -> std::string {
    auto range = ReadRange(&text, total);
    if (!range.ok()) return range.error().code;
    if (!range.value()) return "whole";
    return std::to_string(range.value()->begin) + "+" + std::to_string(range.value()->size);
  };
  EXPECT_EQ(read("bytes=0-0", 10), "0+1");
  EXPECT_EQ(read("bytes=2-5", 10), "2+4");
  EXPECT_EQ(read("bytes=5-100", 10), "5+5");
  EXPECT_EQ(read("bytes=9-", 10), "9+1");
  EXPECT_EQ(read("bytes=-3", 10), "7+3");
  EXPECT_EQ(read("bytes=-30", 10), "0+10");
  EXPECT_EQ(read("bytes=10-", 10), "InvalidRange");
  EXPECT_EQ(read("bytes=-0", 10), "InvalidRange");
  EXPECT_EQ(read("bytes=0-", 0), "InvalidRange");
  EXPECT_EQ(read("bytes=5-2", 10), "whole");
  EXPECT_EQ(read("bytes=0-1,3-4", 10), "whole");
  EXPECT_EQ(read("bytes=a-b", 10), "whole");
  EXPECT_EQ(read("items=0-1", 10), "whole");
}

TEST(Times, RoundTrip) {
  const Milliseconds time = 1'700'000'000'123;
  EXPECT_EQ(IsoTime(time), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(HttpTime(time), "Tue, 14 Nov 2023 22:13:20 GMT");
  EXPECT_EQ(ParseHttpTime(HttpTime(time)), 1'700'000'000'000);
  EXPECT_EQ(ParseBasicTime(BasicTime(time)), 1'700'000'000'000);
  for (const char* text : {"", "20231114T221320", "20231114T221320Zx", "2023-11-14T22:13:20Z",
                           "20231314T221320Z", " 20231114T221320Z"}) {
    EXPECT_EQ(ParseBasicTime(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace bertie::cloud
