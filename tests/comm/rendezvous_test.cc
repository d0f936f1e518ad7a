// Peers that do not belong to the run, at rank 0's port.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "comm/gloo_communicator.h"
#include "comm/member.h"
#include "comm/rank_server.h"
#include "expect_error.h"

namespace bertie::comm {
namespace {

JoinOptions Options(int rank, uint16_t port) {
  JoinOptions options;
  options.rank = rank;
  options.size = 2;
  options.port = port;
  options.token = "right token";
  options.job = "job 7";
  options.join_timeout = std::chrono::seconds(20);
  return options;
}

class Rendezvous : public ::testing::Test {
 protected:
  void SetUp() override {
    Socket listener = std::move(*Listen("127.0.0.1", 0));
    port_ = LocalPort(listener.fd());
    JoinOptions options = Options(0, port_);
    options.listen_fd = dup(listener.fd());
    options.log = [this](const std::string& text) {
      std::lock_guard lock(mutex_);
      log_ += text + '\n';
    };
    rank0_ = std::thread([this, options] {
      auto joined = JoinRanks(options);
      ASSERT_TRUE(joined.ok()) << joined.error().message;
      EXPECT_TRUE((*joined)->Barrier().ok());
      (*joined)->Leave({});
    });
  }

  // The run is unharmed: the right rank 1 still finds its place.
  void TearDown() override {
    auto joined = JoinRanks(Options(1, port_));
    if (joined.ok()) {
      const std::unique_ptr<Communicator> rank1 = std::move(*joined);
      EXPECT_TRUE(rank1->Barrier().ok());
      rank1->Leave({});
    } else {
      ADD_FAILURE() << joined.error().message;
    }
    rank0_.join();
  }

  std::string log() {
    std::lock_guard lock(mutex_);
    return log_;
  }

  // What comes back until the other side closes, or a second has passed.
  std::string Answer(const Socket& socket, int wait_ms = 1000) {
    std::string all;
    char bytes[4096];
    pollfd wait{socket.fd(), POLLIN, 0};
    while (poll(&wait, 1, wait_ms) > 0) {
      const int64_t got = socket.Read(bytes, sizeof(bytes));
      if (got < 0) break;
      all.append(bytes, static_cast<size_t>(got));
    }
    return all;
  }

  Socket Dial() { return std::move(*Connect("127.0.0.1", port_, std::chrono::seconds(5))); }

  uint16_t port_ = 0;
  std::thread rank0_;
  std::mutex mutex_;
  std::string log_;
};

TEST_F(Rendezvous, WrongToken) {
  JoinOptions options = Options(1, port_);
  options.token = "wrong token";
  EXPECT_ERROR(JoinRanks(options), ErrorCode::kInvalidArgument, "its token is not the one");
  options.token = "";
  EXPECT_ERROR(JoinRanks(options), ErrorCode::kInvalidArgument, "its token is not the one");
  EXPECT_NE(log().find("refused a connection from 127.0.0.1"), std::string::npos) << log();
  EXPECT_EQ(log().find("right"), std::string::npos) << log();
}

TEST_F(Rendezvous, OtherJobSizeRank) {
  JoinOptions options = Options(1, port_);
  options.job = "job 8";
  EXPECT_ERROR(JoinRanks(options), ErrorCode::kInvalidArgument, "belongs to the job 'job 8'");
  options = Options(1, port_);
  options.size = 3;
  EXPECT_ERROR(JoinRanks(options), ErrorCode::kInvalidArgument, "expects 3 ranks, this run has 2");
  options = Options(0, port_);
  EXPECT_ERROR(Member::Join(options), ErrorCode::kInvalidArgument, "there is a rank 0 already");
}

TEST_F(Rendezvous, OtherVersion) {
  Hello hello;
  hello.size = 2;
  hello.rank = 1;
  hello.version = 9;
  const Socket socket = Dial();
  socket.Write(EncodeFrame(FrameType::kHello, EncodeHello(hello)));
  const std::string answer = Answer(socket);
  EXPECT_NE(answer.find("it speaks version 9 of the protocol"), std::string::npos) << answer;
}

TEST_F(Rendezvous, GarbageOfManyKinds) {
  std::mt19937 random(5);
  std::vector<std::string> kinds = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                    std::string(4, '\0'),
                                    std::string("\xff\xff\xff\x7f", 4),
                                    "\x16\x03\x01\x02",
                                    EncodeFrame(FrameType::kPing),
                                    EncodeFrame(FrameType::kOffers, "x"),
                                    EncodeFrame(FrameType::kHello, std::string(500, 'h'))};
  for (int i = 0; i < 40; ++i) {
    std::string bytes(random() % 3000, 'x');
    for (char& c : bytes) c = static_cast<char>(random());
    kinds.push_back(bytes);
  }
  // A right greeting, one byte changed.
  for (int i = 0; i < 40; ++i) {
    Hello hello;
    hello.size = 2;
    hello.rank = 1;
    hello.job = "job 7";
    std::string bytes = EncodeFrame(FrameType::kHello, EncodeHello(hello));
    bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
    kinds.push_back(bytes + EncodeFrame(FrameType::kProof, std::string(32, 'p')));
  }
  std::vector<Socket> sockets;
  for (const auto& bytes : kinds) {
    sockets.push_back(Dial());
    sockets.back().Write(bytes);
  }
  for (const auto& socket : sockets) {
    const std::string answer = Answer(socket, 20);
    EXPECT_LT(answer.size(), 700u);
  }
}

TEST_F(Rendezvous, MoreStrangersThanPlaces) {
  std::vector<Socket> sockets;
  for (int i = 0; i < 300; ++i) sockets.push_back(Dial());
  TearDown();  // while all of them are connected
  SetUp();
}

TEST_F(Rendezvous, AReplayedProofIsOfNoUse) {
  Hello hello;
  hello.size = 2;
  hello.rank = 1;
  hello.job = "job 7";
  const Socket socket = Dial();
  const Digest256 challenge = HmacSha256("", "an old one");
  socket.Write(
      EncodeFrame(FrameType::kHello, EncodeHello(hello)) +
      EncodeFrame(FrameType::kProof, EncodeDigest(Proof("right token", "rank", hello, challenge))));
  EXPECT_NE(Answer(socket).find("its token is not the one"), std::string::npos);
}

TEST(RendezvousPort, BeyondThisMachineOnlyWithATokenOrWhenTold) {
  JoinOptions options;
  options.size = 2;
  options.port = 0;
  options.host = "0.0.0.0";
  EXPECT_ERROR(RankServer::Start(options), ErrorCode::kInvalidArgument, "BERTIE_RANK_TOKEN");
  options.token = "x";
  EXPECT_TRUE(RankServer::Start(options).ok());
  options.token = "";
  options.allow_no_token = true;
  EXPECT_TRUE(RankServer::Start(options).ok());
}

TEST(RendezvousPort, OnlyNumbersAndLocalhostStayOnThisMachine) {
  for (const char* host : {"127.0.0.1", "127.0.1.1", "::1", "localhost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "10.0.0.1", "::", "some-host", ""}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(RendezvousPort, WhatPretendsToBeRankZeroIsFound) {
  const Socket listener = std::move(*Listen("127.0.0.1", 0));
  std::thread impostor([&] {
    pollfd wait{listener.fd(), POLLIN, 0};
    poll(&wait, 1, 5000);
    const Socket peer(accept(listener.fd(), nullptr, nullptr));
    peer.Write(EncodeFrame(FrameType::kChallenge, std::string(32, 'c')) +
               EncodeFrame(FrameType::kWelcome, std::string(32, 'w')));
    wait.fd = peer.fd();
    poll(&wait, 1, 5000);
    usleep(200000);
  });
  EXPECT_ERROR(Member::Join(Options(1, LocalPort(listener.fd()))), ErrorCode::kInvalidData,
               "does not know this run's token");
  impostor.join();
}

}  // namespace
}  // namespace bertie::comm
