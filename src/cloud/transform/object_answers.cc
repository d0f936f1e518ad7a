#include "cloud/transform/object_answers.h"

#include <string_view>
#include <vector>

namespace bertie::cloud {
namespace {

// Without their ends.
std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

// An object gets a member more, as its text is otherwise; anything else becomes a member itself.
// Both are JSON: the server has read the one and written the other.
std::string JoinJson(std::string_view record, std::string_view answer) {
  const std::string output = "\"SageMakerOutput\":" + std::string(Trimmed(answer)) + "}\n";
  record = Trimmed(record);
  if (!record.starts_with('{')) {
    return "{\"SageMakerInput\":" + std::string(record) + "," + output;
  }
  record = Trimmed(record.substr(0, record.size() - 1));
  return std::string(record) + (record.size() > 1 ? "," : "") + output;
}

}  // namespace

Done ObjectAnswers::Join(const ObjectRequest& request, const std::string& answer) {
  if (job_.form() == RecordForm::kJson) {
    BERTIE_RETURN_IF_ERROR(writer_.Write(JoinJson(request.records, answer)));
    return std::monostate();
  }
  const auto records = LinesOf(request.records);
  const auto answers = LinesOf(answer);
  if (records.size() != answers.size()) {
    return Failure("ClientError", std::to_string(records.size()) + " records got " +
                                      std::to_string(answers.size()) +
                                      " answers, which cannot be joined");
  }
  std::string joined;
  for (size_t i = 0; i < records.size(); ++i) {
    joined.append(records[i]).append(",").append(answers[i]).append("\n");
  }
  BERTIE_RETURN_IF_ERROR(writer_.Write(joined));
  return std::monostate();
}

Done ObjectAnswers::Add(const ObjectRequest& request, const std::string& answer,
                        const std::string& content_type) {
  if (content_type_.empty()) content_type_ = content_type;
  if (job_.join) return Join(request, answer);
  BERTIE_RETURN_IF_ERROR(writer_.Write(answer));
  const bool lines = job_.line_ends || job_.form() != RecordForm::kAsIs;
  if (lines && !answer.ends_with('\n')) BERTIE_RETURN_IF_ERROR(writer_.Write("\n"));
  return std::monostate();
}

Done ObjectAnswers::Finish(const S3Uri& target, const ObjectStore::AlsoChange& also) {
  return writer_.Finish(target, job_.accept.empty() ? content_type_ : job_.accept, also);
}

}  // namespace bertie::cloud
