#include "cloud/endpoints/routes.h"

#include <utility>

namespace bertie::cloud {

void Routes::Replace(std::vector<Route> routes) {
  std::lock_guard lock(mutex_);
  routes_ = std::move(routes);
}

const Route* Routes::ChooseVariant(const std::string& wanted, RouteFault& fault) {
  fault = RouteFault::kNone;
  if (routes_.empty()) {
    fault = RouteFault::kNoRoutes;
    return nullptr;
  }
  double sum = 0;
  for (const Route& route : routes_) {
    if (!wanted.empty() && route.variant == wanted) return &route;
    sum += route.weight;
  }
  if (!wanted.empty() || sum <= 0) {
    fault = wanted.empty() ? RouteFault::kNoWeight : RouteFault::kUnknownVariant;
    return nullptr;
  }
  double at = Uniform() * sum;
  const Route* last = nullptr;
  for (const Route& route : routes_) {
    if (route.weight <= 0) continue;
    last = &route;
    if (at < route.weight) break;
    at -= route.weight;
  }
  return last;
}

std::shared_ptr<Target> Routes::ChooseTarget(const Route& route, const Target* avoid,
                                             int64_t places) {
  std::shared_ptr<Target> best;
  int least = 0;
  uint64_t equal = 0;  // how many were as good as the best
  for (const auto& target : route.targets) {
    const int outstanding = target->outstanding;
    if (target->port == 0 || target.get() == avoid || outstanding >= places) continue;
    const int load = route.routing == Routing::kRandom ? 0 : outstanding;
    if (best && load > least) continue;
    equal = best && load == least ? equal + 1 : 1;
    // Each of those that are as good is taken with the same probability.
    if (equal == 1 || random_() % equal == 0) best = target;
    least = load;
  }
  return best;
}

Choice Routes::Choose(const std::string& wanted, const Target* avoid, int64_t places) {
  std::lock_guard lock(mutex_);
  Choice choice;
  const Route* route = ChooseVariant(wanted, choice.fault);
  if (route == nullptr) return choice;
  std::shared_ptr<Target> target = ChooseTarget(*route, avoid, places);
  if (!target) {
    choice.fault = RouteFault::kDown;
    return choice;
  }
  choice.port = target->port;
  choice.lease = std::make_unique<Lease>(std::move(target), route->variant);
  return choice;
}

}  // namespace bertie::cloud
