#include "cloud/paging.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/encoding.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;

struct Wish {
  std::string sort_by, name_contains, status;
  bool descending = true;
  std::optional<Milliseconds> created_after, created_before, modified_after, modified_before;
  size_t max = 10;
  std::string after;  // the key that the page before ended with
};

// What items are ordered by; the name makes it unique.
std::tuple<std::string, Milliseconds, std::string> KeyOf(const Listed& item, const Wish& wish) {
  const bool by_time = wish.sort_by == "CreationTime";
  return {wish.sort_by == "Status" ? item.status : "", by_time ? item.created : 0, item.name};
}

// Which does not depend on what is removed or added meanwhile.
std::string TokenOf(const Listed& item) {
  return Base64(std::to_string(item.created) + " " + item.status + " " + item.name);
}

std::optional<Listed> ItemOf(const std::string& token) {
  const auto text = DecodeBase64(token);
  if (!text) return std::nullopt;
  const size_t first = text->find(' ');
  const size_t second = first == text->npos ? first : text->find(' ', first + 1);
  if (second == text->npos || first == 0 || first > 15 ||
      text->find_first_not_of("0123456789") < first) {
    return std::nullopt;
  }
  return Listed{.name = text->substr(second + 1),
                .created = std::stoll(text->substr(0, first)),
                .status = text->substr(first + 1, second - first - 1)};
}

Wish ReadWish(RequestReader& reader, const ListRules& rules) {
  Wish wish;
  wish.sort_by =
      reader.Text("SortBy", Presence::kOptional, {.one_of = {"Name", "CreationTime", "Status"}});
  if (wish.sort_by.empty()) wish.sort_by = "CreationTime";
  const std::string order =
      reader.Text("SortOrder", Presence::kOptional, {.one_of = {"Ascending", "Descending"}});
  wish.descending = order.empty() ? rules.descending : order == "Descending";
  wish.name_contains = reader.Text("NameContains", Presence::kOptional, {.max = 63});
  wish.status = reader.Text("StatusEquals", Presence::kOptional, {.one_of = rules.statuses});
  wish.created_after = reader.Time("CreationTimeAfter");
  wish.created_before = reader.Time("CreationTimeBefore");
  wish.modified_after = reader.Time("LastModifiedTimeAfter");
  wish.modified_before = reader.Time("LastModifiedTimeBefore");
  wish.max = static_cast<size_t>(reader.Integer("MaxResults", Presence::kOptional, 1, 100, 10));
  wish.after = reader.Text("NextToken", Presence::kOptional, {.max = 8192});
  return wish;
}

bool Fits(const Listed& item, const Wish& wish) {
  return item.name.find(wish.name_contains) != std::string::npos &&
         (wish.status.empty() || item.status == wish.status) &&
         (!wish.created_after || item.created > *wish.created_after) &&
         (!wish.created_before || item.created < *wish.created_before) &&
         (!wish.modified_after || item.modified > *wish.modified_after) &&
         (!wish.modified_before || item.modified < *wish.modified_before);
}

}  // namespace

Json JsonTime(Milliseconds time) { return static_cast<double>(time) / 1000.0; }

Outcome<Page> SelectPage(const Json& request, std::vector<Listed> items, const ListRules& rules) {
  RequestReader reader(request);
  const Wish wish = ReadWish(reader, rules);
  std::optional<Listed> after;
  if (!wish.after.empty()) {
    after = ItemOf(wish.after);
    if (!after) reader.Fault("NextToken", "of another listing", "Member must be a NextToken");
  }
  if (auto failure = reader.failure()) return *failure;
  const auto before = [&wish](const Listed& a, const Listed& b) {
    return wish.descending ? KeyOf(b, wish) < KeyOf(a, wish) : KeyOf(a, wish) < KeyOf(b, wish);
  };
  std::erase_if(items, [&](const Listed& item) {
    return !Fits(item, wish) || (after && !before(*after, item));
  });
  std::sort(items.begin(), items.end(), before);
  Page page;
  if (items.size() > wish.max) {
    items.resize(wish.max);
    page.next_token = TokenOf(items.back());
  }
  page.items = std::move(items);
  return page;
}

}  // namespace bertie::cloud
