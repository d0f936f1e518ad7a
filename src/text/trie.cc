#include "text/trie.h"

#include <algorithm>
#include <string>

#include "base/quote.h"

namespace bertie::text {

class Trie::Builder {
 public:
  using Keys = std::vector<std::pair<std::string_view, int32_t>>;

  // keys: sorted, none twice, none empty; must outlive the builder.
  explicit Builder(const Keys& keys) : keys_(keys) {}

  Result<Trie> Build() {
    base_taken_.assign(trie_.units_.size(), false);
    base_taken_[0] = true;  // that of nodes without children
    base_taken_[1] = true;  // that which the root's own label implies
    next_free_.resize(trie_.units_.size());
    LinkFree(1);
    std::vector<Range> pending;
    if (!keys_.empty()) {
      pending.push_back({kRoot, 0, 0, keys_.size()});
    }
    while (!pending.empty()) {
      const Range range = pending.back();
      pending.pop_back();
      if (!AddChildren(range, pending)) {
        return Error{ErrorCode::kResourceExhausted,
                     "the tokens need over " + std::to_string(kMaxUnits) +
                         " trie nodes, which is more than supported"};
      }
    }
    return std::move(trie_);
  }

 private:
  // The keys [begin, end) share their first depth bytes, which lead to node.
  struct Range {
    Node node;
    size_t depth;
    size_t begin;
    size_t end;
  };
  struct Child {
    uint8_t label;
    size_t begin;
    size_t end;
  };

  bool AddChildren(Range range, std::vector<Range>& pending) {
    if (keys_[range.begin].first.size() == range.depth) {
      trie_.units_[range.node] |= kTerminal;
      trie_.values_[range.node] = keys_[range.begin].second;
      ++range.begin;
    }
    children_.clear();
    for (size_t i = range.begin; i < range.end;) {
      const auto label = static_cast<uint8_t>(keys_[i].first[range.depth]);
      const size_t first = i;
      while (i < range.end && static_cast<uint8_t>(keys_[i].first[range.depth]) == label) {
        ++i;
      }
      children_.push_back({label, first, i});
    }
    if (children_.empty()) {
      return true;
    }
    const size_t base = FindBase();
    if (trie_.units_.size() > kMaxUnits) {
      return false;
    }
    base_taken_[base] = true;
    trie_.units_[range.node] |= static_cast<uint32_t>(base) << kBaseShift;
    for (const Child& child : children_) {
      const auto unit = static_cast<Node>(base ^ child.label);
      trie_.units_[unit] = kUsed | child.label;
      pending.push_back({unit, range.depth + 1, child.begin, child.end});
    }
    return true;
  }

  // A base that no node has and that puts every child on a free unit.
  size_t FindBase() {
    // Bounds the time that keys chosen to make every try fail can cost.
    constexpr int kMaxTries = 64;
    size_t* link = &first_free_;
    for (int tries = 0; tries < kMaxTries && *link != kNone;) {
      const size_t unit = *link;
      if ((trie_.units_[unit] & kUsed) != 0) {
        *link = next_free_[unit];  // taken since it was linked
        continue;
      }
      const size_t base = unit ^ children_.front().label;
      if (!base_taken_[base] && AllFree(base)) {
        return base;
      }
      link = &next_free_[unit];
      ++tries;
    }
    const size_t block = trie_.units_.size();
    const size_t size = block + kBlock;
    trie_.units_.resize(size, 0);
    trie_.values_.resize(size, -1);
    base_taken_.resize(size, false);
    next_free_.resize(size);
    LinkFree(block);
    return block;
  }

  bool AllFree(size_t base) const {
    return std::all_of(children_.begin(), children_.end(), [this, base](const Child& child) {
      return (trie_.units_[base ^ child.label] & kUsed) == 0;
    });
  }

  // Puts the units from begin to the end of the array before the other free ones: a new block has
  // the most room.
  void LinkFree(size_t begin) {
    const size_t end = next_free_.size();
    for (size_t unit = begin; unit + 1 < end; ++unit) {
      next_free_[unit] = unit + 1;
    }
    next_free_[end - 1] = first_free_;
    first_free_ = begin;
  }

  static constexpr size_t kNone = SIZE_MAX;

  const Keys& keys_;
  Trie trie_;
  std::vector<bool> base_taken_;
  std::vector<size_t> next_free_;  // a list through the free units, and some taken ones
  size_t first_free_ = kNone;
  std::vector<Child> children_;
};

// The root's label is not its place, so that no byte leads to it from a node without children.
Trie::Trie() : units_(kBlock, 0), values_(kBlock, -1) { units_[kRoot] = kUsed | 1; }

Result<Trie> Trie::Build(std::vector<std::pair<std::string_view, int32_t>> keys) {
  for (const auto& [key, value] : keys) {
    if (key.size() > kMaxKeyBytes) {
      return Error{ErrorCode::kResourceExhausted,
                   "token " + Quote(key, 40) + " has " + std::to_string(key.size()) +
                       " bytes, more than the " + std::to_string(kMaxKeyBytes) + " supported"};
    }
  }
  std::stable_sort(keys.begin(), keys.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  keys.erase(std::unique(keys.begin(), keys.end(), same), keys.end());
  if (!keys.empty() && keys.front().first.empty()) {
    keys.erase(keys.begin());
  }
  return Builder(keys).Build();
}

bool Trie::Walk(Node& node, std::string_view key) const {
  for (const char byte : key) {
    if (!Step(node, byte)) {
      return false;
    }
  }
  return true;
}

}  // namespace bertie::text
