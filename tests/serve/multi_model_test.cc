#include "serve/protocols/multi_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "eventually.h"
#include "http/server.h"
#include "http/test_client.h"
#include "serve/handlers.h"
#include "serve/route_table.h"

namespace bertie::serve {
namespace {

// Counts the calls that the repository has taken.
class CountedProtocol : public MultiModelProtocol {
 public:
  using MultiModelProtocol::MultiModelProtocol;

  std::vector<Route> Routes() override {
    std::vector<Route> routes = MultiModelProtocol::Routes();
    for (Route& route : routes) {
      route.handle = [this, handle = std::move(route.handle)](std::shared_ptr<Call> call) {
        handle(std::move(call));
        ++taken;
      };
    }
    return routes;
  }

  std::atomic<int> taken{0};
};

TEST(MultiModelTest, WhatCannotBeUnloadedAsTheServerEndsIs503) {
  HandlerOptions options;
  options.multi_model = true;
  options.log = [](std::string_view) {};
  ServeContext context(options);
  context.loaded = true;
  infer::ComputePool pool(3);
  auto repository = std::make_unique<ModelRepository>(RepositoryOptions{}, context, pool);
  SageMakerProtocol sagemaker(context);
  CountedProtocol models(context, *repository, sagemaker);
  RouteTable routes;
  routes.Add(models);
  Handlers handlers(context, routes);
  auto server = http::Server::Listen({}, handlers);
  ASSERT_TRUE(server.ok());
  (*server)->Start();
  const auto unload = [&] {
    auto client = std::make_unique<http::TestClient>((*server)->port());
    EXPECT_TRUE(client->Send("DELETE /models/m HTTP/1.1\r\nHost: h\r\n\r\n"));
    return client;
  };
  EXPECT_EQ(unload()->Receive().substr(9, 3), "404");

  // What comes next waits for this.
  std::promise<void> gate;
  repository->Load("none", [&](const Status&) { gate.get_future().wait(); });
  const auto client = unload();
  ASSERT_TRUE(Eventually([&] { return models.taken == 2; }));
  std::thread end([&] { repository.reset(); });
  std::this_thread::sleep_for(std::chrono::seconds(3));  // until it ends
  gate.set_value();
  end.join();
  const std::string answer = client->Receive();
  EXPECT_EQ(answer.substr(9, 3), "503") << answer;
  EXPECT_NE(answer.find("\"ShuttingDown\""), std::string::npos) << answer;
}

}  // namespace
}  // namespace bertie::serve
