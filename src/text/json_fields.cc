#include "text/json_fields.h"

#include <utility>

#include "base/quote.h"

namespace bertie::text {

using formats::Json;

namespace {

Error Missing(const std::string& where, const std::string& key, const std::string& expected) {
  return {ErrorCode::kInvalidData, where + ": " + key + " is missing, expected " + expected};
}

Result<const Json*> TypedField(const Json& object, const std::string& key, const std::string& where,
                               bool (Json::*has_type)() const noexcept,
                               const std::string& expected) {
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return Missing(where, key, expected);
  }
  if (!(field->*has_type)()) {
    return WrongField(where, key, *field, expected);
  }
  return field;
}

}  // namespace

Error WrongField(const std::string& where, const std::string& what, const Json& found,
                 const std::string& expected) {
  std::string shown = formats::JsonTypeName(found);
  if (found.is_string()) {
    shown = Quote(found.get_ref<const std::string&>());
  } else if (found.is_number() || found.is_boolean()) {
    shown = formats::DumpJson(found);
  }
  return {ErrorCode::kInvalidData, where + ": " + what + " is " + shown + ", expected " + expected};
}

const Json* FindField(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

Result<const Json*> ObjectField(const Json& object, const std::string& key,
                                const std::string& where) {
  return TypedField(object, key, where, &Json::is_object, "an object");
}

Result<const Json*> ArrayField(const Json& object, const std::string& key,
                               const std::string& where) {
  return TypedField(object, key, where, &Json::is_array, "an array");
}

Result<std::string> StringField(const Json& object, const std::string& key,
                                const std::string& where) {
  BERTIE_ASSIGN_OR_RETURN(const Json* field,
                          TypedField(object, key, where, &Json::is_string, "a string"));
  return field->get<std::string>();
}

Result<int64_t> IntegerField(const Json& object, const std::string& key, int64_t max,
                             const std::string& where) {
  const std::string expected = "an integer from 0 to " + std::to_string(max);
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return Missing(where, key, expected);
  }
  if (!field->is_number_unsigned() || field->get<uint64_t>() > static_cast<uint64_t>(max)) {
    return WrongField(where, key, *field, expected);
  }
  return field->get<int64_t>();
}

Result<bool> BoolField(const Json& object, const std::string& key, bool if_absent,
                       const std::string& where) {
  const Json* field = FindField(object, key);
  if (field == nullptr) {
    return if_absent;
  }
  if (!field->is_boolean()) {
    return WrongField(where, key, *field, "true or false");
  }
  return field->get<bool>();
}

Result<std::optional<bool>> OptionalBoolField(const Json& object, const std::string& key,
                                              const std::string& where) {
  const Json* field = FindField(object, key);
  if (field == nullptr || field->is_null()) {
    return std::optional<bool>();
  }
  if (!field->is_boolean()) {
    return WrongField(where, key, *field, "true, false or null");
  }
  return std::optional<bool>(field->get<bool>());
}

Status CheckAddedCount(size_t count, const std::string& where) {
  constexpr size_t kMaxAddedTokens = 100'000;
  if (count > kMaxAddedTokens) {
    return Error{ErrorCode::kResourceExhausted, where + ": " + std::to_string(count) +
                                                    " added tokens, more than the " +
                                                    std::to_string(kMaxAddedTokens) + " supported"};
  }
  return {};
}

Result<AddedToken> ParseAddedToken(const Json& object, const std::string& where) {
  if (!object.is_object()) {
    return WrongField(where, "the added token", object, "an object");
  }
  AddedToken token;
  BERTIE_ASSIGN_OR_RETURN(token.content, StringField(object, "content", where));
  BERTIE_ASSIGN_OR_RETURN(token.single_word, BoolField(object, "single_word", false, where));
  BERTIE_ASSIGN_OR_RETURN(token.lstrip, BoolField(object, "lstrip", false, where));
  BERTIE_ASSIGN_OR_RETURN(token.rstrip, BoolField(object, "rstrip", false, where));
  BERTIE_ASSIGN_OR_RETURN(token.special, BoolField(object, "special", false, where));
  BERTIE_ASSIGN_OR_RETURN(token.normalized, BoolField(object, "normalized", !token.special, where));
  return token;
}

Json AddedTokenToJson(const AddedToken& token) {
  return {{"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},   {"rstrip", token.rstrip},
          {"special", token.special}, {"normalized", token.normalized}};
}

}  // namespace bertie::text
