// Ranks as processes, one of which is killed or stopped.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "comm/gloo_communicator.h"
#include "comm/socket.h"

namespace bertie::comm {
namespace {

constexpr int kRanks = 3;
constexpr int kStarted = 40;

class LostRank : public ::testing::Test {
 protected:
  // Each rank sums again and again, with pauses like a step's computing.
  void SetUp() override {
    std::string name = ::testing::TempDir() + "lost_rank_XXXXXX";
    folder_ = mkdtemp(name.data());
    Socket listener = std::move(*Listen("127.0.0.1", 0));
    JoinOptions options;
    options.size = kRanks;
    options.port = LocalPort(listener.fd());
    options.silence_timeout = std::chrono::milliseconds(1500);
    for (int rank = 0; rank < kRanks; ++rank) {
      const pid_t pid = fork();
      if (pid == 0) {
        options.rank = rank;
        options.listen_fd = rank == 0 ? dup(listener.fd()) : -1;
        _exit(Work(options));
      }
      pids_.push_back(pid);
    }
    for (int rank = 0; rank < kRanks; ++rank) WaitFor(File(rank, "steps"));
  }

  void TearDown() override {
    for (pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  int Work(const JoinOptions& options) {
    auto joined = JoinRanks(options);
    if (!joined.ok()) return 3;
    std::unique_ptr<Communicator> communicator = std::move(*joined);
    std::vector<float> values(300000, 1.0f);
    Status status;
    for (int step = 0; status.ok(); ++step) {
      status = communicator->AllReduce(std::span(values), Wire::kBfloat16);
      if (step == kStarted) std::ofstream(File(options.rank, "steps")) << step << std::flush;
      if (step % 4 == options.rank) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    std::ofstream(File(options.rank, "error")) << status.error().message << std::flush;
    communicator->Leave(status);
    return 1;
  }

  std::string File(int rank, const char* what) const {
    return folder_ + "/" + std::to_string(rank) + "_" + what;
  }

  void WaitFor(const std::string& path) {
    for (int i = 0; i < 2000; ++i) {
      if (access(path.c_str(), F_OK) == 0) return;
      usleep(10000);
    }
    FAIL() << "no " << path << " within 20 s";
  }

  // Every other rank ends with exit code 1 in time, and names the lost one.
  void ExpectAllEnd(int lost, const std::string& reason, std::chrono::milliseconds time) {
    const auto started = Clock::now();
    for (int rank = 0; rank < kRanks; ++rank) {
      if (rank == lost) continue;
      int state = 0;
      ASSERT_EQ(waitpid(pids_[static_cast<size_t>(rank)], &state, 0),
                pids_[static_cast<size_t>(rank)]);
      EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 1) << state;
      std::stringstream text;
      text << std::ifstream(File(rank, "error")).rdbuf();
      EXPECT_EQ(text.str(), "rank " + std::to_string(lost) + " was lost: " + reason);
    }
    EXPECT_LT(Clock::now() - started, time);
  }

  std::string folder_;
  std::vector<pid_t> pids_;
};

TEST_F(LostRank, Killed) {
  kill(pids_[2], SIGKILL);
  ExpectAllEnd(2, "its connection closed", std::chrono::seconds(4));
}

TEST_F(LostRank, RankZeroKilled) {
  kill(pids_[0], SIGKILL);
  ExpectAllEnd(0, "its connection closed", std::chrono::seconds(4));
}

TEST_F(LostRank, Stopped) {
  kill(pids_[1], SIGSTOP);
  ExpectAllEnd(1, "nothing was heard from it for 1.5 s", std::chrono::seconds(5));
}

TEST_F(LostRank, RankZeroStopped) {
  kill(pids_[0], SIGSTOP);
  ExpectAllEnd(0, "nothing was heard from it for 1.5 s", std::chrono::seconds(5));
}

}  // namespace
}  // namespace bertie::comm
