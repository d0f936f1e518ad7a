#include "formats/script_code.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "base/quote.h"

namespace bertie::formats {
namespace {

constexpr int kMaxDepth = 64;

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNamePart(char c) { return IsNameStart(c) || std::isdigit(static_cast<unsigned char>(c)); }

// The end of the string literal that begins at text[at]; npos where it does not end.
size_t StringEnd(std::string_view text, size_t at) {
  const char quote = text[at];
  for (size_t i = at + 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// One logical line's tokens, read by recursive descent.
class LineParser {
 public:
  explicit LineParser(std::string_view text) : text_(text) { Skip(); }

  Result<ScriptStatement> Statement() {
    ScriptStatement statement;
    if (AcceptWord("return")) {
      if (!AtEnd()) {
        BERTIE_ASSIGN_OR_RETURN(statement.value, ExpressionList());
      }
      return Finish(std::move(statement));
    }
    BERTIE_ASSIGN_OR_RETURN(ScriptExpr first, ExpressionList());
    if (Accept(':')) BERTIE_RETURN_IF_ERROR(Expression());  // x : Type = value
    if (!Accept('=')) {                                     // a call for its effect
      statement.targets.emplace_back();
      statement.value = std::move(first);
      return Finish(std::move(statement));
    }
    const bool several = first.kind == ScriptExpr::Kind::kTuple;
    for (const ScriptExpr& target : several ? first.items : std::vector<ScriptExpr>{first}) {
      if (target.kind != ScriptExpr::Kind::kName)
        return Bad("an assignment to something else than a name");
      statement.targets.push_back(target.text);
    }
    if (statement.targets.empty()) return Bad("an assignment to nothing");
    BERTIE_ASSIGN_OR_RETURN(statement.value, ExpressionList());
    return Finish(std::move(statement));
  }

  // The parameters' names of "def NAME(self: T, x: T=1) -> T:".
  Result<std::pair<std::string, ScriptMethod>> Signature() {
    std::pair<std::string, ScriptMethod> method;
    if (!AcceptWord("def")) return Bad("a method without def");
    BERTIE_ASSIGN_OR_RETURN(method.first, Name());
    if (!Accept('(')) return Bad("a method without parameters");
    while (!Accept(')')) {
      BERTIE_ASSIGN_OR_RETURN(std::string name, Name());
      method.second.parameters.push_back(std::move(name));
      if (Accept(':')) BERTIE_RETURN_IF_ERROR(Expression());
      if (Accept('=')) BERTIE_RETURN_IF_ERROR(Expression());
      if (!Accept(',') && Peek() != ')') return Bad("expected ',' or ')' after a parameter");
    }
    return method;
  }

 private:
  using Kind = ScriptExpr::Kind;

  static Error Bad(const std::string& what) { return {ErrorCode::kInvalidData, what}; }

  Result<ScriptStatement> Finish(ScriptStatement statement) const {
    if (!AtEnd()) return Bad("found " + Quote(text_.substr(at_), 20) + " after a statement");
    return statement;
  }

  void Skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Accept(char c) {
    if (Peek() != c) return false;
    ++at_;
    Skip();
    return true;
  }
  bool AcceptWord(std::string_view word) {
    const std::string_view rest = text_.substr(at_);
    if (!rest.starts_with(word) || (rest.size() > word.size() && IsNamePart(rest[word.size()]))) {
      return false;
    }
    at_ += word.size();
    Skip();
    return true;
  }
  Result<std::string> Name() {
    if (!IsNameStart(Peek())) return Bad("expected a name, found " + Quote(text_.substr(at_), 20));
    const size_t begin = at_;
    while (IsNamePart(Peek())) ++at_;
    std::string name(text_.substr(begin, at_ - begin));
    Skip();
    return name;
  }

  // a, or a, b and a, as a tuple.
  Result<ScriptExpr> ExpressionList() {
    BERTIE_ASSIGN_OR_RETURN(ScriptExpr first, Expression());
    if (Peek() != ',') return first;
    ScriptExpr tuple;
    tuple.kind = Kind::kTuple;
    tuple.items.push_back(std::move(first));
    while (Accept(',')) {
      if (AtEnd() || Peek() == '=') break;
      BERTIE_ASSIGN_OR_RETURN(ScriptExpr next, Expression());
      tuple.items.push_back(std::move(next));
    }
    return tuple;
  }

  Result<ScriptExpr> Expression() {
    if (++depth_ > kMaxDepth) return Bad("nested beyond " + std::to_string(kMaxDepth));
    auto expression = Postfix();
    --depth_;
    return expression;
  }

  // What may follow a primary: .name, (arguments), [index]. One after the other they nest no deeper
  // than the text says, yet their trees do, so they count too.
  Result<ScriptExpr> Postfix() {
    BERTIE_ASSIGN_OR_RETURN(ScriptExpr expression, Primary());
    for (int links = 0;; ++links) {
      if (links > kMaxDepth) return Bad("nested beyond " + std::to_string(kMaxDepth));
      ScriptExpr outer;
      outer.items.push_back(std::move(expression));
      if (Accept('.')) {
        outer.kind = Kind::kAttribute;
        BERTIE_ASSIGN_OR_RETURN(outer.text, Name());
      } else if (Accept('(')) {
        outer.kind = Kind::kCall;
        BERTIE_RETURN_IF_ERROR(Arguments(outer));
      } else if (Accept('[')) {
        outer.kind = Kind::kSubscript;
        BERTIE_RETURN_IF_ERROR(Items(']', outer));
      } else {
        return std::move(outer.items[0]);
      }
      expression = std::move(outer);
    }
  }

  Status Arguments(ScriptExpr& call) {
    while (!Accept(')')) {
      const size_t begin = at_;
      std::string keyword;
      if (IsNameStart(Peek())) {
        BERTIE_ASSIGN_OR_RETURN(keyword, Name());
        if (!Accept('=')) {
          keyword.clear();
          at_ = begin;
        }
      }
      BERTIE_ASSIGN_OR_RETURN(ScriptExpr value, Expression());
      call.items.push_back(std::move(value));
      call.keywords.push_back(std::move(keyword));
      if (!Accept(',') && Peek() != ')') return Bad("expected ',' or ')' after an argument");
    }
    return {};
  }

  // Up to the closing bracket; true where a comma was among them.
  Result<bool> Items(char close, ScriptExpr& list) {
    bool comma = false;
    while (!Accept(close)) {
      BERTIE_ASSIGN_OR_RETURN(ScriptExpr item, Expression());
      list.items.push_back(std::move(item));
      if (list.kind == Kind::kDict) {
        if (!Accept(':')) return Bad("a dict's key without a value");
        BERTIE_ASSIGN_OR_RETURN(ScriptExpr value, Expression());
        list.items.push_back(std::move(value));
      }
      if (Accept(',')) {
        comma = true;
      } else if (Peek() != close) {
        return Bad("expected ',' or '" + std::string(1, close) + "'");
      }
    }
    return comma;
  }

  Result<ScriptExpr> Primary() {
    const char c = Peek();
    ScriptExpr expression;
    if (Accept('(')) {
      expression.kind = Kind::kTuple;
      BERTIE_ASSIGN_OR_RETURN(const bool comma, Items(')', expression));
      if (!comma && expression.items.size() == 1) return std::move(expression.items[0]);
      return expression;
    }
    if (Accept('[') || Accept('{')) {
      expression.kind = c == '[' ? Kind::kList : Kind::kDict;
      BERTIE_RETURN_IF_ERROR(Items(c == '[' ? ']' : '}', expression));
      return expression;
    }
    if (c == '"' || c == '\'') return String();
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '.') return Number();
    BERTIE_ASSIGN_OR_RETURN(expression.text, Name());
    return expression;
  }

  Result<ScriptExpr> String() {
    const size_t end = StringEnd(text_, at_);
    if (end == std::string_view::npos) return Bad("a string that does not end");
    ScriptExpr expression;
    expression.kind = Kind::kString;
    expression.text = text_.substr(at_ + 1, end - at_ - 2);
    at_ = end;
    Skip();
    return expression;
  }

  Result<ScriptExpr> Number() {
    const size_t begin = at_;
    if (Peek() == '-') ++at_;
    while (IsNamePart(Peek()) || Peek() == '.' ||
           ((Peek() == '+' || Peek() == '-') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E'))) {
      ++at_;
    }
    const std::string_view digits = text_.substr(begin, at_ - begin);
    Skip();
    ScriptExpr expression;
    const auto read = [digits](auto& value) {
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return error == std::errc() && end == digits.data() + digits.size();
    };
    if (read(expression.integer)) {
      expression.kind = Kind::kInteger;
    } else if (read(expression.number)) {
      expression.kind = Kind::kFloat;
    } else {
      return Bad("found " + Quote(digits, 40) + ", expected a number");
    }
    return expression;
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

// A logical line: physical ones are joined as long as a bracket is open.
struct Line {
  std::string_view text;  // without indentation
  size_t indent = 0;
  int number = 0;
};

class FileParser {
 public:
  FileParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Result<ScriptClasses> Parse() {
    ScriptClasses classes;
    std::map<std::string, ScriptMethod>* methods = nullptr;
    ScriptMethod* method = nullptr;
    for (;;) {
      BERTIE_ASSIGN_OR_RETURN(const std::optional<Line> line, Next());
      if (!line) return classes;
      if (line->indent == 0) {
        method = nullptr;
        methods = line->text.starts_with("class ") ? &classes[ClassName(line->text)] : nullptr;
      } else if (methods != nullptr && line->indent == 2) {
        method = nullptr;
        if (!line->text.starts_with("def ")) continue;  // __parameters__, attributes
        auto signature = LineParser(line->text).Signature();
        if (!signature.ok()) return At(line->number, signature.error());
        method = &(*methods)[signature->first];
        *method = std::move(signature->second);
      } else if (method != nullptr) {
        BERTIE_RETURN_IF_ERROR(AddStatement(*line, *method));
      }
    }
  }

 private:
  Error At(int line, const Error& error) const {
    return error.WithContext(where_ + ":" + std::to_string(line));
  }

  static std::string ClassName(std::string_view line) {
    line.remove_prefix(std::string_view("class ").size());
    size_t end = 0;
    while (end < line.size() && IsNamePart(line[end])) ++end;
    return std::string(line.substr(0, end));
  }

  Status AddStatement(const Line& line, ScriptMethod& method) const {
    if (!method.beyond.empty()) return {};
    constexpr std::array<std::string_view, 9> kControl = {"if",   "else", "elif",  "while", "for",
                                                          "with", "try",  "raise", "assert"};
    size_t end = 0;
    while (end < line.text.size() && IsNamePart(line.text[end])) ++end;
    const std::string_view word = line.text.substr(0, end);
    if (std::find(kControl.begin(), kControl.end(), word) != kControl.end()) {
      method.beyond = "line " + std::to_string(line.number) + ": " + Quote(word);
      return {};
    }
    if (word == "pass" && line.text.size() == word.size()) return {};
    auto statement = LineParser(line.text).Statement();
    if (!statement.ok()) return At(line.number, statement.error());
    statement->line = line.number;
    method.body.push_back(*std::move(statement));
    return {};
  }

  Result<std::optional<Line>> Next() {
    for (;;) {
      if (at_ >= text_.size()) return std::optional<Line>();
      Line line;
      line.number = ++number_;
      while (at_ < text_.size() && text_[at_] == ' ') ++line.indent, ++at_;
      const size_t begin = at_;
      BERTIE_ASSIGN_OR_RETURN(const size_t end, LineEnd());
      line.text = text_.substr(begin, end - begin);
      if (!line.text.empty()) return std::optional(line);
    }
  }

  // Moves behind the logical line; gives its end, before a comment.
  Result<size_t> LineEnd() {
    const int first = number_;
    int open = 0;
    std::optional<size_t> end;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        if (open == 0) break;
        ++number_;
      } else if (c == '#') {
        if (open == 0 && !end) end = at_;
        at_ = std::min(text_.find('\n', at_), text_.size());
        continue;
      } else if (c == '"' || c == '\'') {
        const size_t string_end = StringEnd(text_, at_);
        if (string_end == std::string_view::npos) {
          return At(number_, {ErrorCode::kInvalidData, "a string that does not end"});
        }
        at_ = string_end;
        continue;
      }
      open += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
      if (open < 0) return At(number_, {ErrorCode::kInvalidData, "a bracket that was not opened"});
      ++at_;
    }
    if (open > 0) return At(first, {ErrorCode::kInvalidData, "a bracket that is not closed"});
    const size_t stop = std::min(at_, text_.size());
    ++at_;
    return end.value_or(stop);
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  int number_ = 0;
};

}  // namespace

Result<ScriptClasses> ParseScriptCode(std::string_view text, const std::string& where) {
  return FileParser(text, where).Parse();
}

}  // namespace bertie::formats
