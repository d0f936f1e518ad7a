#include "comm/mesh.h"

#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <exception>
#include <utility>

namespace bertie::comm {
namespace {

using gloo::transport::UnboundBuffer;

// A backstop: what ends a wait for a lost rank is Abort.
constexpr auto kWait = std::chrono::minutes(30);

Error GlooError(const std::string& what, const std::exception& error) {
  return {ErrorCode::kIo, what + ": " + error.what()};
}

}  // namespace

struct Mesh::Impl {
  int rank = 0;
  int size = 1;
  std::shared_ptr<gloo::transport::Device> device;
  std::shared_ptr<gloo::transport::Context> context;
  uint64_t slot = 0;

  std::mutex mutex;  // guards what follows
  bool aborted = false;
  bool connecting = false;
  std::vector<std::unique_ptr<UnboundBuffer>> buffers;  // of the current round

  UnboundBuffer* AddBuffer(const void* bytes, size_t count);
};

// Null when aborted.
UnboundBuffer* Mesh::Impl::AddBuffer(const void* bytes, size_t count) {
  auto buffer = context->createUnboundBuffer(const_cast<void*>(bytes), count);
  std::lock_guard lock(mutex);
  if (aborted) return nullptr;
  buffers.push_back(std::move(buffer));
  return buffers.back().get();
}

Mesh::Mesh(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Mesh::~Mesh() = default;

Result<std::unique_ptr<Mesh>> Mesh::Create(int rank, int size, const std::string& address,
                                           const std::string& interface) {
  auto impl = std::make_unique<Impl>();
  impl->rank = rank;
  impl->size = size;
  gloo::transport::tcp::attr attributes;
  if (interface.empty()) {
    attributes.hostname = address;
  } else {
    attributes.iface = interface;
  }
  try {
    impl->device = gloo::transport::tcp::CreateDevice(attributes);
    impl->context = impl->device->createContext(rank, size);
    impl->context->setTimeout(kWait);
    for (int other = 0; other < size; ++other) {
      if (other != rank) impl->context->createPair(other);
    }
  } catch (const std::exception& error) {
    return GlooError("cannot open connections on " + (interface.empty() ? address : interface),
                     error);
  }
  return std::unique_ptr<Mesh>(new Mesh(std::move(impl)));
}

std::string Mesh::AddressFor(int rank) const {
  const std::vector<char> bytes = impl_->context->getPair(rank)->address().bytes();
  return {bytes.begin(), bytes.end()};
}

Result<void> Mesh::Connect(const std::vector<std::string>& addresses) {
  for (int other = 0; other < impl_->size; ++other) {
    if (other == impl_->rank) continue;
    {
      std::lock_guard lock(impl_->mutex);
      if (impl_->aborted) return Error{ErrorCode::kUnavailable, "a rank was lost"};
      impl_->connecting = true;
    }
    const std::string& address = addresses[static_cast<size_t>(other)];
    try {
      impl_->context->getPair(other)->connect({address.begin(), address.end()});
    } catch (const std::exception& error) {
      return GlooError("no connection with rank " + std::to_string(other), error);
    }
  }
  std::lock_guard lock(impl_->mutex);
  impl_->connecting = false;
  return {};
}

std::unique_ptr<MeshError> Mesh::Exchange(const MeshRound& round) {
  struct Pending {
    UnboundBuffer* buffer;
    int rank;
    bool receive;
  };
  std::vector<Pending> pending;
  std::unique_ptr<MeshError> failed;
  int current = -1;
  const uint64_t slot = impl_->slot++;
  try {
    // Receives first: a sender that finds its receiver ready sends at once. Each rank begins with
    // the one after it, lest all of them send to rank 0 at first.
    for (bool receive : {true, false}) {
      for (int step = 1; step < impl_->size && !failed; ++step) {
        current = (impl_->rank + (receive ? impl_->size - step : step)) % impl_->size;
        const auto index = static_cast<size_t>(current);
        const void* bytes = receive ? round.receive[index].data() : round.send[index].data();
        const size_t count = receive ? round.receive[index].size() : round.send[index].size();
        if (count == 0) continue;
        UnboundBuffer* buffer = impl_->AddBuffer(bytes, count);
        if (buffer == nullptr) {
          failed = std::make_unique<MeshError>(MeshError{-1, "aborted"});
        } else if (receive) {
          buffer->recv(current, slot);
        } else {
          buffer->send(current, slot);
        }
        if (buffer != nullptr) pending.push_back({buffer, current, receive});
      }
    }
    for (const Pending& item : pending) {
      if (failed) break;
      current = item.rank;
      const bool done = item.receive ? item.buffer->waitRecv(nullptr, kWait)
                                     : item.buffer->waitSend(nullptr, kWait);
      if (!done) failed = std::make_unique<MeshError>(MeshError{-1, "aborted"});
    }
  } catch (const std::exception& error) {
    failed = std::make_unique<MeshError>(MeshError{current, error.what()});
  }
  // gloo still knows of what has not ended: no one may write to the callers' memory after this
  // function, which a buffer's destructor sees to.
  std::vector<std::unique_ptr<UnboundBuffer>> buffers;
  {
    std::lock_guard lock(impl_->mutex);
    buffers.swap(impl_->buffers);
    if (failed) impl_->aborted = true;
  }
  return failed;
}

void Mesh::Abort() {
  std::lock_guard lock(impl_->mutex);
  impl_->aborted = true;
  for (const auto& buffer : impl_->buffers) {
    buffer->abortWaitRecv();
    buffer->abortWaitSend();
  }
  if (!impl_->connecting) return;
  for (int other = 0; other < impl_->size; ++other) {
    if (other != impl_->rank) impl_->context->getPair(other)->close();
  }
}

}  // namespace bertie::comm
