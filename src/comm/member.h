// A rank's place in its run: found at the start, held by signs of life, lost with a reason.
// Private to comm/.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "comm/frames.h"
#include "comm/join_options.h"
#include "comm/socket.h"

namespace bertie::comm {

// Thread-safe after Join. A thread of its own sends the signs of life and hears of losses.
class Member {
 public:
  // Connects to rank 0, again and again until it is there or join_timeout has passed. Rank 0
  // itself hands over its end of RankServer::ConnectLocally.
  static Result<std::unique_ptr<Member>> Join(const JoinOptions& options, Socket local = {});
  ~Member();

  // This end's address on the way to rank 0; "" for rank 0.
  const std::string& local_address() const { return local_address_; }

  // Gives offers[r] to rank r, and returns what each rank has for this one. Once. Returns when all
  // ranks are there: kDeadlineExceeded, naming the missing ones, when they do not come in time.
  Result<std::vector<std::string>> Exchange(const std::vector<std::string>& offers);

  // Calls the function once, from another thread, when a rank is lost; at once if one is already.
  void OnLoss(std::function<void()> heard);
  // Waits so long for news of a loss.
  std::optional<Error> WaitForLoss(std::chrono::milliseconds time);

  // As Communicator::Leave.
  void Leave(const Status& status);

 private:
  explicit Member(const JoinOptions& options) : options_(options) {}
  Status Handshake(Clock::time_point deadline);
  Result<Frame> Await(FrameType type, Clock::time_point deadline);
  void Start();
  void Run();
  bool ReadFrames();
  void OnFrame(const Frame& frame);
  void Lose(Error error);
  void Lose(const Loss& loss);
  bool SendAll(std::string_view bytes);

  JoinOptions options_;
  Socket socket_;
  std::string local_address_;
  FrameReader reader_;
  Socket wake_, wake_end_;
  std::thread thread_;
  std::mutex send_mutex_;  // one frame at a time on the socket

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<std::vector<std::string>> offers_;
  std::optional<Error> loss_;
  std::function<void()> on_loss_;
  bool left_ = false;
  bool all_left_ = false;
  bool stop_ = false;
};

}  // namespace bertie::comm
