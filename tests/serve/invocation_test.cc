#include "serve/invocation.h"

#include <gtest/gtest.h>

namespace bertie::serve {
namespace {

std::variant<Invocation, http::Refusal> Parse(std::string_view body,
                                              MediaType type = MediaType::kJson) {
  return ParseInvocation(body, type, {.max_texts = 4, .max_length = 128});
}

Invocation Good(std::string_view body, MediaType type = MediaType::kJson) {
  auto parsed = Parse(body, type);
  if (auto* refusal = std::get_if<http::Refusal>(&parsed)) {
    ADD_FAILURE() << body << ": " << refusal->message;
    return {};
  }
  return std::get<Invocation>(std::move(parsed));
}

// "400 InvalidInput: message".
std::string Bad(std::string_view body, MediaType type = MediaType::kJson) {
  auto parsed = Parse(body, type);
  auto* refusal = std::get_if<http::Refusal>(&parsed);
  if (!refusal) return "accepted";
  return std::to_string(refusal->status) + " " + refusal->type + ": " + refusal->message;
}

std::vector<std::string> Texts(const Invocation& invocation) {
  std::vector<std::string> texts;
  for (const TextInput& input : invocation.texts) texts.push_back(input.text);
  return texts;
}

using Strings = std::vector<std::string>;

TEST(ParseInvocation, AStringOrAListGivesLogits) {
  Invocation one = Good(R"( "a \u00e9 b" )");
  EXPECT_EQ(one.form, AnswerForm::kLogits);
  EXPECT_EQ(Texts(one), Strings{"a \xc3\xa9 b"});
  Invocation list = Good(R"(["a", "", "c"])");
  EXPECT_EQ(list.form, AnswerForm::kLogits);
  EXPECT_EQ(Texts(list), (Strings{"a", "", "c"}));
  EXPECT_EQ(list.container, Invocation::Container::kList);
}

TEST(ParseInvocation, InputsGivesScores) {
  Invocation text = Good(R"({"inputs": "a"})");
  EXPECT_EQ(text.form, AnswerForm::kScores);
  EXPECT_EQ(text.container, Invocation::Container::kText);
  EXPECT_FALSE(text.parameters.has_top_k);

  Invocation pair = Good(R"({"inputs": {"text": "a", "text_pair": "b"}, "parameters": null})");
  EXPECT_EQ(pair.container, Invocation::Container::kObject);
  EXPECT_EQ(pair.texts[0].pair, "b");

  Invocation list = Good(R"({"inputs": ["a", {"text": "b", "text_pair": null},
                                        {"text": "c", "text_pair": "d"}], "options": {}})");
  EXPECT_EQ(list.container, Invocation::Container::kList);
  EXPECT_EQ(Texts(list), (Strings{"a", "b", "c"}));
  EXPECT_EQ(list.texts[1].pair, std::nullopt);
  EXPECT_EQ(list.texts[2].pair, "d");
}

TEST(ParseInvocation, InstancesGivesPredictions) {
  Invocation invocation = Good(R"({"instances": ["a", {"text": "b"}]})");
  EXPECT_EQ(invocation.form, AnswerForm::kPredictions);
  EXPECT_EQ(Texts(invocation), (Strings{"a", "b"}));
}

TEST(ParseInvocation, ReadsParameters) {
  Parameters all =
      Good(R"({"inputs": "a", "parameters": {"top_k": 3, "function_to_apply": "Sigmoid",
      "truncation": false, "max_length": 64, "padding": true, "return_all_scores": false}})")
          .parameters;
  EXPECT_TRUE(all.has_top_k);
  EXPECT_EQ(all.top_k, 3);
  EXPECT_EQ(all.function_to_apply, FunctionToApply::kSigmoid);
  EXPECT_EQ(all.truncation, false);
  EXPECT_EQ(all.max_length, 64u);
  EXPECT_EQ(all.return_all_scores, false);
  Parameters null =
      Good(R"({"inputs": "a", "parameters": {"top_k": null, "truncation": "longest_first",
      "function_to_apply": null, "max_length": null}})")
          .parameters;
  EXPECT_TRUE(null.has_top_k);
  EXPECT_EQ(null.top_k, std::nullopt);
  EXPECT_EQ(null.truncation, true);
  EXPECT_EQ(null.function_to_apply, std::nullopt);
}

TEST(ParseInvocation, SaysWhatIsWrongAndWhere) {
  const struct {
    const char* body;
    const char* message;
  } cases[] = {
      {"",
       "400 InvalidInput: the body is empty; expected a string, a list of strings, or an object "
       "with \"inputs\""},
      {" \n",
       "400 InvalidInput: the body is empty; expected a string, a list of strings, or an "
       "object with \"inputs\""},
      {"7",
       "400 InvalidInput: the body is an integer; expected a string, a list of strings, or an "
       "object with \"inputs\""},
      {"null",
       "400 InvalidInput: the body is null; expected a string, a list of strings, or an "
       "object with \"inputs\""},
      {"[]", "400 EmptyBatch: the body is an empty list; expected at least one text"},
      {R"(["a", 7])", "400 InvalidInput: [1] is an integer; expected a string"},
      {R"(["a", null])", "400 InvalidInput: [1] is null; expected a string"},
      {R"([["a"]])", "400 InvalidInput: [0] is an array; expected a string"},
      {R"([{"text": "a"}])", "400 InvalidInput: [0] is an object; expected a string"},
      {R"(["1","2","3","4","5"])", "413 TooManyTexts: the body holds 5 texts; the limit is 4"},
      {"{}",
       "400 InvalidInput: the body has no \"inputs\"; expected a string, a list of strings, or "
       "an object with \"inputs\""},
      {R"({"inputs": []})", "400 EmptyBatch: inputs is an empty list; expected at least one text"},
      {R"({"inputs": 7})",
       "400 InvalidInput: inputs is an integer; expected a string, {\"text\", "
       "\"text_pair\"}, or a list of them"},
      {R"({"inputs": ["a", 7]})",
       "400 InvalidInput: inputs[1] is an integer; expected a string or "
       "{\"text\", \"text_pair\"}"},
      {R"({"inputs": {"txt": "a"}})",
       "400 InvalidInput: inputs has an unknown field 'txt'; known are text, text_pair"},
      {R"({"inputs": {"text_pair": "a"}})", "400 InvalidInput: inputs has no \"text\""},
      {R"({"inputs": [{"text": 1}]})",
       "400 InvalidInput: inputs[0].text is an integer; expected a string"},
      {R"({"inputs": "a", "parameter": {}})",
       "400 InvalidInput: the body has an unknown field 'parameter'; known are inputs, parameters, "
       "options"},
      {R"({"inputs": "a", "parameters": []})",
       "400 InvalidInput: parameters is an array; expected an object"},
      {R"({"inputs": "a", "parameters": {"topk": 1}})",
       "400 InvalidInput: parameters has an unknown field 'topk'; known are top_k, "
       "return_all_scores, function_to_apply, truncation, max_length, padding, batch_size"},
      {R"({"inputs": "a", "parameters": {"top_k": 0}})",
       "400 InvalidInput: parameters.top_k is 0; expected an integer from 1 to 1000000"},
      {R"({"inputs": "a", "parameters": {"top_k": 18446744073709551615}})",
       "400 InvalidInput: parameters.top_k is 18446744073709551615; expected an integer from 1 to "
       "1000000"},
      {R"({"inputs": "a", "parameters": {"top_k": "all"}})",
       "400 InvalidInput: parameters.top_k is a string; expected an integer from 1 to 1000000"},
      {R"({"inputs": "a", "parameters": {"max_length": 129}})",
       "400 InvalidInput: parameters.max_length is 129; expected an integer from 4 to 128"},
      {R"({"inputs": "a", "parameters": {"function_to_apply": "max"}})",
       "400 InvalidInput: parameters.function_to_apply is 'max'; expected none, sigmoid or "
       "softmax"},
      {R"({"inputs": "a", "parameters": {"truncation": 1}})",
       "400 InvalidInput: parameters.truncation is an integer; expected true or false"},
      {R"({"instances": "a"})",
       "400 InvalidInput: instances is a string; expected a list of strings"},
  };
  for (const auto& c : cases) EXPECT_EQ(Bad(c.body), c.message) << c.body;
}

TEST(ParseInvocation, BadJsonNamesItsPlace) {
  EXPECT_TRUE(Bad("[\"a\",\n oops]").starts_with("400 InvalidJson: body:2:"))
      << Bad("[\"a\",\n oops]");
  EXPECT_TRUE(Bad("\"a\" \"b\"").starts_with("400 InvalidJson: body:1:"));
  EXPECT_TRUE(Bad("\"\xff\"").starts_with("400 InvalidJson: body:1:"));
  EXPECT_TRUE(Bad("\xef\xbb\xbf\"a\"").starts_with("400 InvalidJson: body:1:"));
  EXPECT_TRUE(Bad(std::string(100'000, '[')).starts_with("400 InvalidJson: body"))
      << Bad(std::string(100'000, '['));
}

TEST(ParseInvocation, CsvRowsGiveLogits) {
  Invocation rows = Good("one\r\n\"two, \"\"three\"\"\"\n\"\"\n", MediaType::kCsv);
  EXPECT_EQ(rows.form, AnswerForm::kLogits);
  EXPECT_EQ(Texts(rows), (Strings{"one", "two, \"three\"", ""}));
}

TEST(ParseInvocation, ACsvHeaderPicksItsColumn) {
  Invocation rows = Good("id,inputs\n1,a b\n2,\"c, d\"\n", MediaType::kCsv);
  EXPECT_EQ(rows.form, AnswerForm::kScores);
  EXPECT_EQ(Texts(rows), (Strings{"a b", "c, d"}));
}

TEST(ParseInvocation, BadCsvNamesItsRow) {
  EXPECT_EQ(Bad("good\nbad, very bad\n", MediaType::kCsv),
            "400 InvalidCsv: body:2: the row has 2 fields; expected 1 (quote a text that holds a "
            "comma, or name its column \"inputs\" in a header)");
  EXPECT_EQ(Bad("inputs,id\na\n", MediaType::kCsv),
            "400 InvalidCsv: body:2: the row has 1 fields; expected 2");
  EXPECT_TRUE(Bad("\"open", MediaType::kCsv).starts_with("400 InvalidCsv: body:1:"));
  EXPECT_TRUE(Bad("", MediaType::kCsv).starts_with("400 EmptyBatch"));
  EXPECT_TRUE(Bad("inputs\n", MediaType::kCsv).starts_with("400 EmptyBatch"));
  EXPECT_TRUE(Bad("1\n2\n3\n4\n5\n", MediaType::kCsv).starts_with("413 TooManyTexts"));
}

}  // namespace
}  // namespace bertie::serve
