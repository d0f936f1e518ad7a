// Rank 0's side of a run's membership: lets the ranks in, passes on where each is reached, and
// tells all of them when one is lost. Private to comm/.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "comm/frames.h"
#include "comm/join_options.h"
#include "comm/socket.h"

namespace bertie::comm {

// One thread serves all connections. Strangers are held to small frames, ten seconds and a few
// places; whatever they send, members do not notice.
class RankServer {
 public:
  // kInvalidArgument when it would listen beyond this machine without a token, though that is not
  // allowed.
  static Result<std::unique_ptr<RankServer>> Start(const JoinOptions& options);
  // Tells the members that rank 0 has gone, and gives them a second to close.
  ~RankServer();

  // A connection for rank 0 itself.
  Result<Socket> ConnectLocally();
  uint16_t port() const { return LocalPort(listener_.fd()); }
  // Whether all ranks are in.
  bool complete() const { return complete_; }
  // The address at which the ranks reached this machine, one beyond loopback where there is one.
  std::string reached_at() const;

 private:
  struct Peer;

  explicit RankServer(const JoinOptions& options);
  void Run();
  void PollOnce(int timeout_ms);
  void Accept();
  void AddPeer(Socket socket);
  void Receive(Peer& peer);
  void OnFrame(Peer& peer, const Frame& frame);
  void OnHello(Peer& peer, const Frame& frame);
  void OnProof(Peer& peer, const Frame& frame);
  void OnMember(Peer& peer, const Frame& frame);
  std::string Unfit(const Hello& hello) const;
  void Admit(Peer& peer);
  void Refuse(Peer& peer, const std::string& reason);
  void Send(Peer& peer, FrameType type, std::string_view body = {});
  void Flush(Peer& peer);
  void Drop(Peer& peer, const std::string& reason);
  void Lose(int rank, const std::string& reason);
  void FormWhenComplete();
  void EndAll();
  void CheckTimes();
  std::string Missing() const;
  void Drain();
  void Log(const std::string& text) const {
    if (options_.log) options_.log(text);
  }

  JoinOptions options_;
  Socket listener_;
  Socket wake_, wake_end_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<Peer*> members_;  // by rank; null while it has not come or is gone
  bool formed_ = false;
  bool lost_ = false;
  int done_ = 0;  // members that have said goodbye
  Clock::time_point started_, last_round_, last_ping_, last_log_;
  std::chrono::milliseconds ping_interval_{};

  std::atomic<bool> stop_ = false;
  std::atomic<bool> complete_ = false;
  mutable std::mutex mutex_;
  std::vector<Socket> adopted_;  // guarded by mutex_
  std::string reached_at_;       // guarded by mutex_
  std::thread thread_;
};

}  // namespace bertie::comm
