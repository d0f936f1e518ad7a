#include "serve/model_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "infer/sum_executor.h"
#include "serve/inference.h"
#include "serve/small_model.h"

namespace bertie::serve {
namespace {

TEST(VersionLess, NumbersByValueBeforeWords) {
  const VersionLess less;
  EXPECT_TRUE(less("2", "10"));
  EXPECT_FALSE(less("10", "2"));
  EXPECT_TRUE(less("10", "a"));
  EXPECT_TRUE(less("a", "b"));
  EXPECT_FALSE(less("7", "7"));
  EXPECT_TRUE(less("7", "07"));  // one value, two names
  EXPECT_FALSE(less("07", "7"));
  EXPECT_TRUE(less("99999999999999999999", "100000000000000000000"));
}

class ModelTableTest : public testing::Test {
 protected:
  ModelPointer Put(const std::string& name, const std::string& version = "1") {
    ModelPointer model = table->Adopt(SmallModel({name, version}, executor, metrics));
    table->Put(model);
    return model;
  }
  std::string Found(std::string_view name = "", std::string_view version = "") const {
    const auto found = table->Find(name, version);
    return found.ok() ? (*found)->id.name + "/" + (*found)->id.version : found.error().message;
  }
  // The answer to a request that is under way.
  std::future<InferenceResult> Ask(ModelPointer model) {
    auto promise = std::make_shared<std::promise<InferenceResult>>();
    Infer({.model = std::move(model), .texts = {{"a", {}}}},
          [promise](InferenceResult result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  static bool IsGone(const std::weak_ptr<const LoadedModel>& model) {
    for (int i = 0; i < 1000 && !model.expired(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return model.expired();
  }

  infer::SumExecutor executor;
  Metrics metrics;
  std::unique_ptr<ModelTable> table = std::make_unique<ModelTable>();
};

TEST_F(ModelTableTest, FindsByNameAndVersion) {
  EXPECT_EQ(Found(), "the request names no model; there are none");
  Put("a", "9");
  Put("a", "10");
  EXPECT_EQ(Found(), "a/10");
  EXPECT_EQ(Found("a", "9"), "a/9");
  EXPECT_EQ(Found("a", "11"), "model 'a' has no version '11'; the highest is '10'");
  EXPECT_EQ(Found("x"), "there is no model 'x'; there are 'a'");
  Put("b");
  EXPECT_EQ(Found(), "the request names no model; there are 'a', 'b'");
  table->SetDefault("b");
  EXPECT_EQ(Found(), "b/1");
  EXPECT_EQ(table->List().size(), 3u);
}

TEST_F(ModelTableTest, RemovesOneVersionOrAll) {
  Put("a", "1");
  Put("a", "2");
  EXPECT_FALSE(table->Remove("a", "3"));
  EXPECT_TRUE(table->Remove("a", "2"));
  EXPECT_EQ(Found("a"), "a/1");
  EXPECT_TRUE(table->Remove("a"));
  EXPECT_FALSE(table->Remove("a"));
  EXPECT_TRUE(table->empty());
}

// The batcher's own thread lets go last; ending the model there would wait for itself.
TEST_F(ModelTableTest, AModelThatIsTakenOutAnswersFirst) {
  std::weak_ptr<const LoadedModel> weak = Put("a");
  executor.CloseGate();
  auto answer = Ask(weak.lock());
  executor.WaitUntilRunning();
  EXPECT_TRUE(table->Remove("a"));
  EXPECT_FALSE(weak.expired());
  executor.OpenGate();
  const InferenceResult result = answer.get();
  EXPECT_EQ(std::get<Inference>(result).logits, (std::vector<float>{9, 19}));
}

TEST_F(ModelTableTest, AModelThatIsReplacedGoes) {
  std::weak_ptr<const LoadedModel> weak = Put("a");
  Put("a");
  EXPECT_TRUE(IsGone(weak));
  EXPECT_EQ(table->List().size(), 1u);
}

TEST_F(ModelTableTest, TheTablesEndAnswersWhatWaits) {
  ModelPointer model = Put("a");
  executor.CloseGate();
  auto running = Ask(model);
  executor.WaitUntilRunning();
  auto waiting = Ask(std::move(model));
  std::thread end([this] { table.reset(); });
  EXPECT_EQ(std::get<InferenceError>(waiting.get()).kind, InferenceError::Kind::kShuttingDown);
  executor.OpenGate();
  EXPECT_TRUE(std::holds_alternative<Inference>(running.get()));
  end.join();
}

TEST_F(ModelTableTest, ReplacedUnderLoadNoRequestIsLost) {
  Put("a");
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, bad{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!stop) {
        const auto found = table->Find("a");
        const InferenceResult result = Ask(*found).get();
        ++(std::holds_alternative<Inference>(result) ? good : bad);
      }
    });
  }
  for (int i = 0; i < 50; ++i) Put("a");
  while (good < 100) std::this_thread::yield();
  stop = true;
  for (auto& client : clients) client.join();
  EXPECT_EQ(bad, 0);
}

}  // namespace
}  // namespace bertie::serve
