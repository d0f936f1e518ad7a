// A server of a test's handler, on a free port.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>

#include "http/server.h"

namespace bertie::http {

template <class HandlerType>
class ListeningTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.log = [](std::string_view) {};
    auto listening = Server::Listen(options_, handler_);
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    server_ = std::move(*listening);
    server_->Start();
  }

  ServerOptions options_;
  HandlerType handler_;
  std::unique_ptr<Server> server_;
};

}  // namespace bertie::http
