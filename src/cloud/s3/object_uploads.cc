// Uploads in parts.
#include "base/encoding.h"
#include "base/hmac.h"
#include "cloud/s3/object_rows.h"
#include "cloud/s3/object_store.h"

namespace bertie::cloud {
namespace {

Failure NoSuchUpload() {
  return {"NoSuchUpload",
          "The specified upload does not exist. The upload ID may be invalid, or the upload may "
          "have been aborted or completed."};
}

// An object in more pieces is put together, as whoever reads it holds all of its files open.
constexpr size_t kMaxSegments = 64;

constexpr char kUploadColumns[] =
    "SELECT id, key, created, fields, checksum_algorithm, checksum_composite FROM uploads ";

Upload ReadUpload(const Rows& rows) {
  return {.id = rows.Text(0),
          .key = rows.Text(1),
          .created = rows.Int(2),
          .fields = ReadFields(rows.Text(3)),
          .checksum_algorithm = rows.Text(4),
          .checksum_composite = rows.Int(5) != 0};
}

Outcome<bool> UploadExists(Database& database, const std::string& id) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          database.Query("SELECT 1 FROM uploads WHERE id=?", {View(id)}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  return there;
}

}  // namespace

Outcome<Upload> ObjectStore::CreateUpload(const std::string& bucket, Upload upload) {
  upload.id = Hex(AsText(RandomBytes32()));
  upload.created = Now();
  const std::string fields = WriteFields(upload.fields);
  return Change<Upload>([&](Database& database) -> Outcome<Upload> {
    if (!FindBucket(bucket)) return NoSuchBucket();
    BERTIE_RETURN_IF_ERROR(
        database.Run("INSERT INTO uploads(id, bucket, key, created, fields, checksum_algorithm, "
                     "checksum_composite) VALUES(?,?,?,?,?,?,?)",
                     {View(upload.id), View(bucket), View(upload.key), upload.created, View(fields),
                      View(upload.checksum_algorithm), int64_t{upload.checksum_composite}}));
    return upload;
  });
}

Outcome<Upload> ObjectStore::FindUpload(const std::string& bucket, const std::string& key,
                                        const std::string& id) const {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows,
      reader.database().Query(std::string(kUploadColumns) + "WHERE id=? AND bucket=? AND key=?",
                              {View(id), View(bucket), View(key)}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  if (!there) return NoSuchUpload();
  return ReadUpload(rows);
}

Outcome<std::vector<Upload>> ObjectStore::Uploads(const std::string& bucket) const {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, reader.database().Query(
                     std::string(kUploadColumns) + "WHERE bucket=? ORDER BY key, created, id",
                     {View(bucket)}));
  std::vector<Upload> uploads;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return uploads;
    uploads.push_back(ReadUpload(rows));
  }
}

Done ObjectStore::PutPart(const Upload& upload, const Part& part, BlobWriter& blob) {
  BERTIE_RETURN_IF_ERROR(blob.Keep());
  std::string replaced;
  Done done = Change<std::monostate>([&](Database& database) -> Done {
    BERTIE_ASSIGN_OR_RETURN(const bool there, UploadExists(database, upload.id));
    if (!there) return NoSuchUpload();
    {
      BERTIE_ASSIGN_OR_RETURN(Rows rows,
                              database.Query("SELECT blob FROM parts WHERE upload=? AND number=?",
                                             {View(upload.id), part.number}));
      BERTIE_ASSIGN_OR_RETURN(const bool again, rows.Next());
      if (again) replaced = rows.Text(0);
    }
    BERTIE_RETURN_IF_ERROR(database.Run(
        "INSERT OR REPLACE INTO parts(upload, number, blob, size, modified, etag, checksum) "
        "VALUES(?,?,?,?,?,?,?)",
        {View(upload.id), part.number, View(blob.name()), static_cast<int64_t>(blob.size()), Now(),
         View(part.etag), View(part.checksum)}));
    return std::monostate();
  });
  if (!done.ok()) return done;
  blob.Release();
  if (!replaced.empty()) blobs_.Remove(replaced);
  return done;
}

Outcome<std::vector<Part>> ObjectStore::Parts(const Upload& upload, int64_t after,
                                              size_t max) const {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, reader.database().Query(
                     "SELECT number, size, modified, etag, checksum FROM parts WHERE upload=? AND "
                     "number>? ORDER BY number LIMIT ?",
                     {View(upload.id), after, static_cast<int64_t>(max)}));
  std::vector<Part> parts;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return parts;
    parts.push_back({.number = rows.Int(0),
                     .size = static_cast<uint64_t>(rows.Int(1)),
                     .modified = rows.Int(2),
                     .etag = rows.Text(3),
                     .checksum = rows.Text(4)});
  }
}

Outcome<Object> ObjectStore::Complete(const std::string& bucket, const Upload& upload,
                                      const std::vector<Part>& parts, const Attributes& attributes,
                                      const WriteConditions& conditions) {
  std::unique_ptr<BlobWriter> joined;
  if (parts.size() > kMaxSegments) {
    Outcome<std::unique_ptr<BlobWriter>> join = Join(upload, parts);
    if (!join.ok()) return join.error();
    joined = *std::move(join);
  }
  std::vector<std::string> dropped;
  Outcome<Object> outcome = Change<Object>([&](Database& database) -> Outcome<Object> {
    BERTIE_ASSIGN_OR_RETURN(const bool there, UploadExists(database, upload.id));
    if (!there) return NoSuchUpload();
    Object object{.key = upload.key,
                  .modified = Now(),
                  .attributes = attributes,
                  .bytes = {},
                  .segments = {}};
    for (const Part& part : parts) {
      BERTIE_ASSIGN_OR_RETURN(const std::string blob, PartBlob(database, upload.id, part));
      object.segments.push_back({blob, part.size});
      object.size += part.size;
    }
    if (joined) object.segments = {{joined->name(), joined->size()}};
    Done done = ReplaceObject(database, bucket, object, conditions, dropped);
    if (!done.ok()) return done.error();
    if (Done gone = DropUpload(database, upload.id, dropped); !gone.ok()) return gone.error();
    return object;
  });
  if (!outcome.ok()) return outcome;
  if (joined) joined->Release();
  RemoveBlobs(dropped);
  return outcome;
}

Outcome<http::FilePiece> ObjectStore::ReadPart(const Upload& upload, const Part& part) const {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(const std::string name, PartBlob(reader.database(), upload.id, part));
  BERTIE_ASSIGN_OR_RETURN(std::shared_ptr<const OpenFile> file, blobs_.Read(name));
  return http::FilePiece{std::move(file), 0, part.size};
}

Outcome<std::unique_ptr<BlobWriter>> ObjectStore::Join(const Upload& upload,
                                                       const std::vector<Part>& parts) const {
  std::unique_ptr<BlobWriter> blob = NewBlob(BlobKind::kFile);
  for (const Part& part : parts) {
    BERTIE_ASSIGN_OR_RETURN(const http::FilePiece piece, ReadPart(upload, part));
    BERTIE_RETURN_IF_ERROR(
        ReadPiece(piece, [&](std::string_view bytes) { return blob->Write(bytes); }));
  }
  BERTIE_RETURN_IF_ERROR(blob->Keep());
  return blob;
}

Done ObjectStore::Abort(const Upload& upload) {
  std::vector<std::string> dropped;
  Done done = Change<std::monostate>([&](Database& database) -> Done {
    BERTIE_ASSIGN_OR_RETURN(const bool there, UploadExists(database, upload.id));
    if (!there) return NoSuchUpload();
    return DropUpload(database, upload.id, dropped);
  });
  if (done.ok()) RemoveBlobs(dropped);
  return done;
}

}  // namespace bertie::cloud
