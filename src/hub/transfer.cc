#include "hub/transfer.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <new>
#include <utility>

#include "base/ascii.h"
#include "base/quote.h"

namespace bertie::hub {
namespace {

constexpr int kMaxRedirections = 10;
constexpr size_t kMaxErrorBody = 64 * 1024;
constexpr size_t kMaxBody = size_t{64} << 20;  // that no sink takes
constexpr size_t kMaxFields = 500;

// libcurl wants this once, before any handle, from one thread.
void InitializeOnce() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (done != CURLE_OK) throw std::bad_alloc();
}

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, FreeUrl>;

std::string Part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  std::string value;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK) value = text;
  curl_free(text);
  return value;
}

// What decides whether a token may go there: "scheme://host:port".
std::string Origin(const std::string& text) {
  const UrlHandle url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return "";
  return AsciiLower(Part(url.get(), CURLUPART_SCHEME) + "://" + Part(url.get(), CURLUPART_HOST)) +
         ":" + Part(url.get(), CURLUPART_PORT);
}

std::string HostOf(const std::string& text) {
  const UrlHandle url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return Quote(text);
  return Part(url.get(), CURLUPART_HOST);
}

// "" where that is no URL.
std::string Resolved(const std::string& base, const std::string& location) {
  const UrlHandle url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK) {
    return "";
  }
  return Part(url.get(), CURLUPART_URL);
}

bool IsRedirection(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

ErrorCode CodeOf(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PROXY:
      return ErrorCode::kUnavailable;
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::kDeadlineExceeded;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
      return ErrorCode::kInvalidData;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

const std::string& Answer::Field(const std::string& name) const {
  static const std::string kNone;
  const auto field = fields.find(name);
  return field == fields.end() ? kNone : field->second;
}

struct Transfer::Handle {
  Handle() {
    InitializeOnce();
    curl = curl_easy_init();
    if (curl == nullptr) throw std::bad_alloc();
  }
  ~Handle() { curl_easy_cleanup(curl); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  CURL* curl = nullptr;
};

// One request and its answer, without what redirections lead to.
struct Transfer::Hop {
  CURL* curl = nullptr;
  const Sink* sink = nullptr;
  Answer answer;
  Status failed;  // the sink's error

  static size_t OnField(char* data, size_t size, size_t count, void* self) {
    static_cast<Hop*>(self)->AddField(std::string_view(data, size * count));
    return size * count;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    return static_cast<Hop*>(self)->AddBody(std::string_view(data, size * count)) ? size * count
                                                                                  : 0;
  }

  void AddField(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // also after a 100 or a proxy's own answer
      answer.fields.clear();
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || answer.fields.size() >= kMaxFields) return;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back())) != 0) {
      value.remove_suffix(1);
    }
    answer.fields.emplace(AsciiLower(std::string(line.substr(0, colon))), value);
  }

  bool AddBody(std::string_view bytes) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    const bool good = answer.status / 100 == 2;
    if (good && *sink) {
      failed = (*sink)(answer, bytes);
      return failed.ok();
    }
    if (!good) bytes = bytes.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, answer.body.size()));
    if (answer.body.size() + bytes.size() > kMaxBody) {
      failed = Error{ErrorCode::kResourceExhausted,
                     "the answer is longer than " + std::to_string(kMaxBody >> 20) + " MiB"};
      return false;
    }
    answer.body += bytes;
    return true;
  }
};

Transfer::Transfer(TransferOptions options)
    : options_(std::move(options)), handle_(std::make_unique<Handle>()) {}
Transfer::~Transfer() = default;

Status Transfer::SendOne(const Request& request, bool with_token, const Sink& sink, Hop& hop) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps the connections
  hop.curl = curl;
  hop.sink = &sink;
  curl_slist* fields = curl_slist_append(nullptr, "Accept-Encoding: identity");
  const auto add = [&](const std::string& field) {
    fields = curl_slist_append(fields, field.c_str());
  };
  if (with_token) add("Authorization: Bearer " + options_.token);
  if (request.from > 0) add("Range: bytes=" + std::to_string(request.from) + "-");
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_limit.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_limit.count()));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Hop::OnField);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &hop);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Hop::OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &hop);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &hop.answer.status);
  curl_slist_free_all(fields);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  if (!hop.failed.ok()) return hop.failed;
  if (code == CURLE_OK) return {};
  const std::string text = *reason != '\0' ? reason : curl_easy_strerror(code);
  return Error{CodeOf(code), HostOf(request.url) + ": " + text};
}

Result<Answer> Transfer::Send(const Request& request, const Sink& sink) {
  Request next = request;
  const std::string origin = Origin(request.url);
  bool with_token = !options_.token.empty();
  std::string commit;  // named by the hub, not by the store that it points to
  for (int hops = 0; hops <= kMaxRedirections; ++hops) {
    Hop hop;
    BERTIE_RETURN_IF_ERROR(SendOne(next, with_token, sink, hop));
    Answer& answer = hop.answer;
    answer.host = HostOf(next.url);
    if (commit.empty()) commit = answer.Field("x-repo-commit");
    const std::string& location = answer.Field("location");
    const bool known = request.head && !answer.Field("x-linked-etag").empty();
    if (!IsRedirection(answer.status) || location.empty() || known) {
      if (!commit.empty()) answer.fields["x-repo-commit"] = commit;
      return std::move(answer);
    }
    std::string url = Resolved(next.url, location);
    const std::string target = Origin(url);
    const bool web = target.starts_with("http://") || target.starts_with("https://");
    if (!web || (origin.starts_with("https://") && !target.starts_with("https://"))) {
      return Error{ErrorCode::kInvalidData,
                   answer.host + ": redirects to " + Quote(location) + "; expected an https URL"};
    }
    if (target != origin) with_token = false;
    next.url = std::move(url);
  }
  return Error{ErrorCode::kInvalidData, HostOf(request.url) + ": more than " +
                                            std::to_string(kMaxRedirections) + " redirections"};
}

}  // namespace bertie::hub
