// The page for people: GET / where a browser asks, its files, and what it needs to know beside what
// every client may ask for.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/route.h"

namespace bertie::serve {

// GET /ui/models: {"models": [{"name", "version", "labels", "max_length", "default"}]}, of each
// name the version that answers. POST /ui/tokens {"text", "text_pair"?, "model"?}: {"tokens":
// [{"token", "id", "special", "second", "kept"}], "count", "kept", "max_length"}: what the text is
// to the model, with what would be cut off; at most 2048 tokens of count.
class PlaygroundProtocol : public Protocol {
 public:
  explicit PlaygroundProtocol(ServeContext& context);

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  bool Owns(std::string_view path) const override;

 private:
  void File(Call& call) const;
  void Models(Call& call) const;
  void Tokens(Call& call) const;

  ServeContext& context_;
};

}  // namespace bertie::serve
