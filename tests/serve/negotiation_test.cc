#include "serve/negotiation.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::serve {
namespace {

std::string Name(const std::variant<MediaType, http::Refusal>& result) {
  if (auto* refusal = std::get_if<http::Refusal>(&result)) return std::to_string(refusal->status);
  return std::string(MediaTypeName(std::get<MediaType>(result)));
}

std::string Request(std::vector<http::Field> fields) {
  http::RequestHead head;
  head.fields = std::move(fields);
  return Name(RequestType(head));
}

std::string Answer(const std::string& accept, MediaType fallback = MediaType::kJson) {
  http::RequestHead head;
  head.fields = {{"accept", accept}};
  return Name(AnswerType(head, fallback));
}

TEST(RequestType, TakesJsonAndCsv) {
  EXPECT_EQ(Request({}), "application/json");
  EXPECT_EQ(Request({{"Content-Type", "application/json"}}), "application/json");
  EXPECT_EQ(Request({{"content-type", "Application/JSON; charset=UTF-8"}}), "application/json");
  EXPECT_EQ(Request({{"Content-Type", "application/json;charset=\"utf-8\""}}), "application/json");
  EXPECT_EQ(Request({{"Content-Type", "text/csv; header=present"}}), "text/csv");
}

TEST(RequestType, RefusesTheRest) {
  EXPECT_EQ(Request({{"Content-Type", "application/x-npy"}}), "415");
  EXPECT_EQ(Request({{"Content-Type", "application/x-www-form-urlencoded"}}), "415");
  EXPECT_EQ(Request({{"Content-Type", ""}}), "415");
  EXPECT_EQ(Request({{"Content-Type", "application/json; charset=utf-16"}}), "415");
  EXPECT_EQ(Request({{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}), "415");
}

TEST(AnswerType, TheFirstKnownTypeWins) {
  EXPECT_EQ(Answer("application/json"), "application/json");
  EXPECT_EQ(Answer("text/csv;q=0.1, application/json"), "text/csv");
  EXPECT_EQ(Answer("application/x-npy , application/json"), "application/json");
  EXPECT_EQ(Answer("text/html,application/xml;q=0.9,*/*;q=0.8"), "application/json");
  EXPECT_EQ(Answer("text/*"), "text/csv");
  EXPECT_EQ(Answer("application/*"), "application/json");
}

TEST(AnswerType, TheFallbackStandsWhereNothingIsAsked) {
  EXPECT_EQ(Answer("*/*", MediaType::kCsv), "text/csv");
  EXPECT_EQ(Answer("", MediaType::kCsv), "text/csv");
  EXPECT_EQ(Name(AnswerType({}, MediaType::kCsv)), "text/csv");
}

TEST(AnswerType, RefusesWhatItCannotGive) {
  EXPECT_EQ(Answer("application/x-npy"), "406");
  EXPECT_EQ(Answer("text/html, image/png"), "406");
}

}  // namespace
}  // namespace bertie::serve
