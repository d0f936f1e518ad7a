// A set of byte strings with a number each, for the longest of them that a text begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace bertie::text {

// A double array (J. Aoe, 1989) of 4 bytes a node: a step is one load and one comparison. Immutable
// after it is made; const members may be called from any thread.
class Trie {
 public:
  using Node = uint32_t;
  static constexpr Node kRoot = 0;
  static constexpr size_t kMaxKeyBytes = 1024;

  // An empty trie.
  Trie();

  // Of keys that are equal the first counts; empty keys are left out. kResourceExhausted: a key is
  // longer than kMaxKeyBytes, or there are over four million nodes.
  static Result<Trie> Build(std::vector<std::pair<std::string_view, int32_t>> keys);

  // Moves node to its child for the byte; false, leaving node, when there is none.
  bool Step(Node& node, char byte) const {
    const uint32_t label = static_cast<uint8_t>(byte);
    const Node child = (units_[node] >> kBaseShift) ^ label;
    if ((units_[child] & (kUsed | kLabelMask)) != (kUsed | label)) {
      return false;
    }
    node = child;
    return true;
  }

  bool HasValue(Node node) const { return (units_[node] & kTerminal) != 0; }
  int32_t value(Node node) const { return values_[node]; }

  // The node that the key leads to from node; false when there is none.
  bool Walk(Node& node, std::string_view key) const;

  // The longest key that text begins with: its length, 0 when there is none, and its value.
  size_t LongestMatch(std::string_view text, Node start, int32_t& value) const {
    size_t longest = 0;
    Node node = start;
    Node last = start;
    for (size_t i = 0; i < text.size() && Step(node, text[i]); ++i) {
      if (HasValue(node)) {
        longest = i + 1;
        last = node;
      }
    }
    if (longest > 0) {
      value = values_[last];
    }
    return longest;
  }

 private:
  class Builder;

  // A unit is, from the lowest bit: the label of the edge that leads here, whether the unit is in
  // use, whether a key ends here, and the base: the child for byte b is unit base ^ b. No two nodes
  // share a base, so an equal label proves the parent; base 0 belongs to nodes without children.
  static constexpr uint32_t kLabelMask = 0xFF;
  static constexpr uint32_t kUsed = 1 << 8;
  static constexpr uint32_t kTerminal = 1 << 9;
  static constexpr int kBaseShift = 10;
  static constexpr size_t kMaxUnits = size_t{1} << (32 - kBaseShift);
  static constexpr size_t kBlock = 256;  // base ^ byte stays inside the base's block

  std::vector<uint32_t> units_;  // whole blocks
  std::vector<int32_t> values_;  // by unit
};

}  // namespace bertie::text
