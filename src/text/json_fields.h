// Fields of JSON objects with checks, for the tokenizer's files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"
#include "text/added_tokens.h"

namespace bertie::text {

// Each refuses, with kInvalidData and "WHERE: KEY is FOUND, expected ...", a value of another type.
// `object` must be a JSON object.

// The member, or nullptr when it is absent.
const formats::Json* FindField(const formats::Json& object, const std::string& key);

Result<const formats::Json*> ObjectField(const formats::Json& object, const std::string& key,
                                         const std::string& where);
Result<const formats::Json*> ArrayField(const formats::Json& object, const std::string& key,
                                        const std::string& where);
Result<std::string> StringField(const formats::Json& object, const std::string& key,
                                const std::string& where);
// An integer from 0 to max.
Result<int64_t> IntegerField(const formats::Json& object, const std::string& key, int64_t max,
                             const std::string& where);
Result<bool> BoolField(const formats::Json& object, const std::string& key, bool if_absent,
                       const std::string& where);
// null is the same as absent.
Result<std::optional<bool>> OptionalBoolField(const formats::Json& object, const std::string& key,
                                              const std::string& where);

// kResourceExhausted, with WHERE, when count is more added tokens than are supported.
Status CheckAddedCount(size_t count, const std::string& where);

// {"content": ..., flags}. A flag that is absent is false, but for normalized: then a token that is
// not special is.
Result<AddedToken> ParseAddedToken(const formats::Json& object, const std::string& where);

formats::Json AddedTokenToJson(const AddedToken& token);

// "WHERE: WHAT is FOUND, expected EXPECTED".
Error WrongField(const std::string& where, const std::string& what, const formats::Json& found,
                 const std::string& expected);

}  // namespace bertie::text
