#include "hub/hub.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>
#include <thread>
#include <utility>

#include "base/encoding.h"
#include "base/quote.h"
#include "formats/json.h"
#include "hub/names.h"

namespace bertie::hub {
namespace {

constexpr int kAttempts = 5;
constexpr int kLongestPause = 60;  // seconds that are waited for, when a hub says how long
constexpr std::chrono::milliseconds kFirstPause{200};

// Seconds from Retry-After (a number or a date), or from the reset in a RateLimit field
// ("api";r=0;t=55); -1 when neither is there.
int64_t SecondsToWait(const Answer& answer) {
  const auto number = [](std::string_view text) {
    int64_t seconds = -1;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    return seconds;
  };
  const std::string& after = answer.Field("retry-after");
  if (!after.empty()) {
    if (std::isdigit(static_cast<unsigned char>(after.front())) != 0) return number(after);
    std::tm time{};
    if (strptime(after.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &time) != nullptr) {
      return std::max<int64_t>(0, timegm(&time) - std::time(nullptr));
    }
  }
  const std::string& limit = answer.Field("ratelimit");
  const size_t reset = limit.find(";t=");
  return reset == std::string::npos ? -1 : number(std::string_view(limit).substr(reset + 3));
}

bool MayPass(long status) { return status == 408 || status == 429 || status >= 500; }

void Pause(int attempt) { std::this_thread::sleep_for(kFirstPause * (1 << std::min(attempt, 4))); }

// W/"abc" and "abc" as abc; "" for what is no file's name.
std::string PlainEtag(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  const bool fit = !etag.empty() && etag.size() <= 128 && etag.front() != '.' &&
                   std::all_of(etag.begin(), etag.end(), allowed);
  return fit ? etag : "";
}

Error NoHub(const std::string& what, const std::string& found) {
  return {ErrorCode::kInvalidData,
          what + ": " + found +
              "; expected what a hub answers. Is HF_ENDPOINT right, or is there a proxy or a "
              "sign-in page between?"};
}

}  // namespace

Hub::Hub(const Settings& settings, std::string id, Say say)
    : settings_(settings),
      id_(std::move(id)),
      say_(std::move(say)),
      transfer_({.user_agent = "bertie",
                 .token = settings.token,
                 .ca_file = settings.ca_file,
                 .stall_limit = settings.stall_limit}) {}

std::string Hub::FileUrl(const std::string& commit, const std::string& file) const {
  return settings_.endpoint + "/" + id_ + "/resolve/" + PercentEncode(commit) + "/" +
         PercentEncode(file);
}

Error Hub::NotReached(const Error& error) const {
  const bool reached = error.code != ErrorCode::kUnavailable;
  return {
      reached ? error.code : ErrorCode::kUnavailable,
      id_ + ": " + (reached ? "the connection failed" : "cannot reach the hub") + " (" +
          error.message +
          "). Try again; what has arrived is kept. Behind a proxy set https_proxy, for a mirror "
          "HF_ENDPOINT; without a network copy the model's folder here and give its path"};
}

Error Hub::ToError(const Answer& answer, const std::string& what) const {
  const std::string& code = answer.Field("x-error-code");
  const std::string& text = answer.Field("x-error-message");
  const std::string page = settings_.endpoint + "/" + id_;
  const std::string token = "the token from " + settings_.token_source;
  const bool has_token = !settings_.token.empty();
  const auto error = [&](ErrorCode kind, const std::string& message) {
    return Error{kind, id_ + ": " + message};
  };
  if (code == "GatedRepo") {
    return error(ErrorCode::kInvalidArgument,
                 has_token ? "gated, and " + token + " has no access: ask for it at " + page
                           : "gated: accept its terms at " + page +
                                 ", then set HF_TOKEN to a token of that account");
  }
  if (code == "RevisionNotFound") {
    return error(ErrorCode::kNotFound, "has no such revision (" + what + "); see " + page +
                                           "/tree/main for its branches and tags");
  }
  if (code == "EntryNotFound") {
    return error(ErrorCode::kNotFound, "has no file " + what);
  }
  if (answer.status == 401 && (has_token || text.find("Invalid credentials") == 0)) {
    return error(
        ErrorCode::kInvalidArgument,
        answer.host + " refused " + token +
            ": is it valid still? If the model is public, unset it (HF_TOKEN, or the file)");
  }
  if (code == "RepoNotFound" || answer.status == 401 || answer.status == 404) {
    return error(ErrorCode::kNotFound,
                 has_token ? "no such model on " + answer.host + ", or one that " + token +
                                 " may not read; check the spelling"
                           : "no such model on " + answer.host +
                                 ", or a private one; check the spelling, and for a private model "
                                 "set HF_TOKEN");
  }
  if (answer.status == 403) {
    return error(ErrorCode::kInvalidArgument,
                 answer.host + " forbids reading it" + (has_token ? " with " + token : "") +
                     (text.empty() ? "" : " (" + Quote(text, 200) + ")") +
                     "; does the token have the right to read?");
  }
  if (answer.status == 429) {
    const int64_t seconds = SecondsToWait(answer);
    return error(ErrorCode::kUnavailable,
                 answer.host + " limits how often it is asked (429); try again " +
                     (seconds < 0 ? "later" : "in " + std::to_string(seconds) + " s") +
                     (has_token ? "" : ", or set HF_TOKEN: the limit is higher with a token"));
  }
  if (answer.status >= 500) {
    return error(ErrorCode::kUnavailable, answer.host + " has a fault (" +
                                              std::to_string(answer.status) + " for " + what +
                                              "); try again later");
  }
  return NoHub(id_, answer.host + " answered " + std::to_string(answer.status) + " for " + what);
}

// Waits before another attempt; false where the hub wants a longer wait than that.
bool Hub::PauseFor(const Answer& answer, int attempt) {
  const int64_t seconds = MayPass(answer.status) ? SecondsToWait(answer) : -1;
  if (seconds > kLongestPause) return false;
  if (seconds < 0) {
    Pause(attempt);
    return true;
  }
  if (seconds > 0 && say_) {
    say_(answer.host + " answered " + std::to_string(answer.status) + "; waiting " +
         std::to_string(seconds) + " s, as it asks");
  }
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  return true;
}

Result<Answer> Hub::Ask(const Request& request, const std::string& what) {
  for (int attempt = 0;; ++attempt) {
    auto answer = transfer_.Send(request);
    const bool last = attempt + 1 == kAttempts;
    if (!answer.ok()) {
      const ErrorCode code = answer.error().code;
      const bool broke = code == ErrorCode::kIo || code == ErrorCode::kDeadlineExceeded;
      if (code == ErrorCode::kInvalidData) return NoHub(id_, answer.error().message);
      if (last || (!reached_ && !broke)) return NotReached(answer.error());
      Pause(attempt);
      continue;
    }
    reached_ = true;
    if (MayPass(answer->status) && !last && PauseFor(*answer, attempt)) continue;
    const bool known = answer->status / 100 == 3 && !answer->Field("x-linked-etag").empty();
    if (answer->status == 200 || known) return answer;
    return ToError(*answer, what);
  }
}

Result<ModelListing> Hub::List(const std::string& revision) {
  const std::string url =
      settings_.endpoint + "/api/models/" + id_ + "/revision/" + PercentEncode(revision);
  BERTIE_ASSIGN_OR_RETURN(const Answer answer, Ask({.url = url}, Quote(revision)));
  const auto json = formats::ParseJson(answer.body, answer.host);
  if (!json.ok()) return NoHub(id_, json.error().message);
  ModelListing listing;
  const auto sha = json->is_object() ? json->find("sha") : json->end();
  const auto siblings = json->is_object() ? json->find("siblings") : json->end();
  if (sha == json->end() || !sha->is_string() || siblings == json->end() || !siblings->is_array()) {
    return NoHub(id_, answer.host + " answered JSON without \"sha\" and \"siblings\"");
  }
  listing.commit = sha->get<std::string>();
  if (!IsCommit(listing.commit)) {
    return NoHub(id_, answer.host + " names the commit " + Quote(listing.commit));
  }
  for (const formats::Json& sibling : *siblings) {
    const auto name = sibling.is_object() ? sibling.find("rfilename") : sibling.end();
    if (name != sibling.end() && name->is_string())
      listing.files.push_back(name->get<std::string>());
  }
  return listing;
}

Result<RemoteFile> Hub::Find(const std::string& commit, const std::string& file) {
  BERTIE_ASSIGN_OR_RETURN(const Answer answer,
                          Ask({.url = FileUrl(commit, file), .head = true}, Quote(file)));
  RemoteFile found;
  found.name = file;
  const std::string& linked = answer.Field("x-linked-etag");
  found.etag = PlainEtag(linked.empty() ? answer.Field("etag") : linked);
  const std::string& named = answer.Field("x-repo-commit");
  if (found.etag.empty()) {
    return NoHub(id_, answer.host + " gives " + Quote(file) + " no ETag that names its content");
  }
  if (named != commit) {
    return NoHub(id_, answer.host + " says that " + Quote(file) + " is of commit " + Quote(named) +
                          ", not " + commit);
  }
  const std::string& linked_size = answer.Field("x-linked-size");
  const std::string& size = linked_size.empty() ? answer.Field("content-length") : linked_size;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), found.size);
  if (error != std::errc() || end != size.data() + size.size() || found.size < 0) {
    return NoHub(id_, answer.host + " does not say how long " + Quote(file) + " is");
  }
  return found;
}

Status Hub::Fetch(const std::string& commit, const std::string& file, int64_t from,
                  const Sink& sink, int attempt, bool& retry) {
  Status refused;  // by the sink: nothing that another attempt would change
  const Sink watched = [&](const Answer& head, std::string_view bytes) -> Status {
    refused = sink(head, bytes);
    return refused;
  };
  auto answer = transfer_.Send({.url = FileUrl(commit, file), .from = from}, watched);
  retry = false;
  if (!refused.ok()) return refused;
  if (answer.ok() && answer->status / 100 == 2) return {};
  retry = attempt + 1 < kAttempts;
  if (!answer.ok()) {
    retry = retry && answer.error().code != ErrorCode::kInvalidData;
    if (retry) Pause(attempt);
    return NotReached(answer.error());
  }
  // 416: what is there already is no beginning of it. The signed URLs of a store run out with 403.
  const bool may = MayPass(answer->status) || answer->status == 416 || answer->status == 403;
  retry = retry && may && PauseFor(*answer, attempt);
  if (answer->status == 416) {
    return Error{ErrorCode::kInvalidData, id_ + ": " + answer->host + " has no bytes of " +
                                              Quote(file) + " from " + std::to_string(from)};
  }
  return ToError(*answer, Quote(file));
}

}  // namespace bertie::hub
