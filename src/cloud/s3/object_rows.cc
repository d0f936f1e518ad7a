#include "cloud/s3/object_rows.h"

#include <utility>

namespace bertie::cloud {
namespace {

Done CheckConditions(Database& database, const std::string& bucket, const std::string& key,
                     const WriteConditions& conditions) {
  if (!conditions.if_match && !conditions.if_none_match) return std::monostate();
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          database.Query("SELECT etag FROM objects WHERE bucket=? AND key=?",
                                         {std::string_view(bucket), std::string_view(key)}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  if (conditions.if_match && !there) {
    return Failure("NoSuchKey", "The specified key does not exist.");
  }
  const bool match = there && conditions.if_match && NamesEtag(*conditions.if_match, rows.Text(0));
  const bool clash =
      there && conditions.if_none_match && NamesEtag(*conditions.if_none_match, rows.Text(0));
  if ((conditions.if_match && !match) || clash) {
    return Failure("PreconditionFailed",
                   "At least one of the pre-conditions you specified did not hold");
  }
  return std::monostate();
}

// Rows of one column of text.
Result<std::vector<std::string>> Texts(Database& database, const std::string& sql,
                                       std::initializer_list<Value> values) {
  std::vector<std::string> texts;
  BERTIE_ASSIGN_OR_RETURN(Rows rows, database.Query(sql, values));
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return texts;
    texts.push_back(rows.Text(0));
  }
}

// The least text that is greater than all that begin with this one; "" when there is none.
std::string After(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace

std::string WriteFields(const Fields& fields) {
  std::string text;
  for (const http::Field& field : fields) text += field.name + ":" + field.value + "\n";
  return text;
}

Fields ReadFields(const std::string& text) {
  Fields fields;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const size_t colon = text.find(':', at);
    if (end == std::string::npos || colon > end) break;
    fields.push_back({text.substr(at, colon - at), text.substr(colon + 1, end - colon - 1)});
    at = end + 1;
  }
  return fields;
}

Object ReadObject(const Rows& rows) {
  Object object;
  object.key = rows.Text(0);
  object.size = static_cast<uint64_t>(rows.Int(1));
  object.modified = rows.Int(2);
  object.attributes.etag = rows.Text(3);
  object.attributes.fields = ReadFields(rows.Text(4));
  object.attributes.checksum = {rows.Text(5), rows.Text(6), rows.Int(7) != 0};
  object.attributes.upload = rows.Text(8);
  return object;
}

Result<bool> IsKnownBlob(Database& database, const std::string& name) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          database.Query("SELECT 1 FROM segments WHERE blob=?1 UNION ALL "
                                         "SELECT 1 FROM parts WHERE blob=?1 LIMIT 1",
                                         {std::string_view(name)}));
  return rows.Next();
}

Done DropObject(Database& database, const std::string& bucket, const std::string& key,
                std::vector<std::string>& dropped) {
  int64_t id = 0;
  {
    BERTIE_ASSIGN_OR_RETURN(Rows rows,
                            database.Query("SELECT id FROM objects WHERE bucket=? AND key=?",
                                           {std::string_view(bucket), std::string_view(key)}));
    BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
    if (!there) return std::monostate();
    id = rows.Int(0);
  }
  BERTIE_ASSIGN_OR_RETURN(const std::vector<std::string> blobs,
                          Texts(database, "SELECT blob FROM segments WHERE object=?", {id}));
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM objects WHERE id=?", {id}));
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM segments WHERE object=?", {id}));
  for (const std::string& blob : blobs) {
    BERTIE_ASSIGN_OR_RETURN(const bool known, IsKnownBlob(database, blob));
    if (!known) dropped.push_back(blob);
  }
  return std::monostate();
}

Done ReplaceObject(Database& database, const std::string& bucket, const Object& object,
                   const WriteConditions& conditions, std::vector<std::string>& dropped) {
  {
    BERTIE_ASSIGN_OR_RETURN(Rows rows, database.Query("SELECT 1 FROM buckets WHERE name=?",
                                                      {std::string_view(bucket)}));
    BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
    if (!there) return Failure("NoSuchBucket", "The specified bucket does not exist");
  }
  if (Done checked = CheckConditions(database, bucket, object.key, conditions); !checked.ok()) {
    return checked;
  }
  if (Done done = DropObject(database, bucket, object.key, dropped); !done.ok()) return done;
  const Attributes& attributes = object.attributes;
  const std::string fields = WriteFields(attributes.fields);
  const auto view = [](const std::string& text) { return std::string_view(text); };
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT INTO objects(bucket, key, size, modified, etag, fields, checksum_algorithm, "
      "checksum, checksum_composite, upload, bytes) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
      {view(bucket), view(object.key), static_cast<int64_t>(object.size), object.modified,
       view(attributes.etag), view(fields), view(attributes.checksum.algorithm),
       view(attributes.checksum.value), int64_t{attributes.checksum.composite},
       view(attributes.upload), view(object.bytes)}));
  const int64_t id = database.LastRow();
  int64_t position = 0;
  for (const Segment& segment : object.segments) {
    BERTIE_RETURN_IF_ERROR(
        database.Run("INSERT INTO segments(object, position, blob, size) VALUES(?,?,?,?)",
                     {id, position++, view(segment.blob), static_cast<int64_t>(segment.size)}));
  }
  return std::monostate();
}

Done DropUpload(Database& database, const std::string& id, std::vector<std::string>& dropped) {
  const std::string_view upload = id;
  BERTIE_ASSIGN_OR_RETURN(const std::vector<std::string> blobs,
                          Texts(database, "SELECT blob FROM parts WHERE upload=?", {upload}));
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM parts WHERE upload=?", {upload}));
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM uploads WHERE id=?", {upload}));
  for (const std::string& blob : blobs) {
    BERTIE_ASSIGN_OR_RETURN(const bool known, IsKnownBlob(database, blob));
    if (!known) dropped.push_back(blob);
  }
  return std::monostate();
}

Outcome<Object> FindObject(Database& database, const std::string& bucket, const std::string& key) {
  Object object;
  int64_t id = 0;
  {
    BERTIE_ASSIGN_OR_RETURN(Rows rows,
                            database.Query("SELECT " + std::string(kObjectColumns) +
                                               ", id, bytes FROM objects WHERE bucket=? AND key=?",
                                           {std::string_view(bucket), std::string_view(key)}));
    BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
    if (!there) return Failure("NoSuchKey", "The specified key does not exist.");
    object = ReadObject(rows);
    id = rows.Int(9);
    object.bytes = rows.Text(10);
  }
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows,
      database.Query("SELECT blob, size FROM segments WHERE object=? ORDER BY position", {id}));
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return object;
    object.segments.push_back({rows.Text(0), static_cast<uint64_t>(rows.Int(1))});
  }
}

Outcome<std::string> PartBlob(Database& database, const std::string& upload, const Part& part) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows,
      database.Query("SELECT blob FROM parts WHERE upload=? AND number=? AND etag=?",
                     {std::string_view(upload), part.number, std::string_view(part.etag)}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  if (!there) {
    return Failure("InvalidPart",
                   "One or more of the specified parts could not be found. The part may not have "
                   "been uploaded, or the specified entity tag may not match the part's.");
  }
  return rows.Text(0);
}

// Reads forward from `from`; where keys roll up into a common prefix, reads on behind all of them.
Outcome<Listing> ListObjects(Database& database, const std::string& bucket,
                             const ListOptions& options) {
  Listing listing;
  std::string from = options.prefix;
  bool beyond = false;  // from itself is not wanted
  if (options.after >= options.prefix) {
    from = options.after;
    beyond = true;
    const std::string& delimiter = options.delimiter;
    const bool is_common_prefix = !delimiter.empty() && options.after.starts_with(options.prefix) &&
                                  options.after.size() > options.prefix.size() &&
                                  options.after.find(delimiter, options.prefix.size()) ==
                                      options.after.size() - delimiter.size();
    if (is_common_prefix) {
      from = After(options.after);
      beyond = false;
      if (from.empty()) return listing;
    }
  }
  const std::string sql = "SELECT " + std::string(kObjectColumns) +
                          " FROM objects WHERE bucket=? AND key>=? ORDER BY key";
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(
        Rows rows, database.Query(sql, {std::string_view(bucket), std::string_view(from)}));
    std::string skip_to;
    while (skip_to.empty()) {
      BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
      if (!more) return listing;
      std::string key = rows.Text(0);
      if (!key.starts_with(options.prefix)) return listing;
      if (beyond && key == from) continue;
      if (listing.objects.size() + listing.prefixes.size() == options.max) {
        listing.truncated = options.max > 0;
        return listing;
      }
      const size_t found = options.delimiter.empty()
                               ? std::string::npos
                               : key.find(options.delimiter, options.prefix.size());
      if (found == std::string::npos) {
        listing.last = key;
        listing.objects.push_back(ReadObject(rows));
      } else {
        listing.last = key.substr(0, found + options.delimiter.size());
        listing.prefixes.push_back(listing.last);
        skip_to = After(listing.last);
        if (skip_to.empty()) return listing;
      }
    }
    from = std::move(skip_to);
    beyond = false;
  }
}

}  // namespace bertie::cloud
