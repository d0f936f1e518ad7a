"""`bertie cloud` as boto3 sees it: S3, STS, IAM, signatures, and what a SIGKILL leaves."""

import base64
import concurrent.futures
import hashlib
import http.client
import os
import pathlib
import random
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.auth  # noqa: E402
import botocore.config  # noqa: E402
import botocore.exceptions  # noqa: E402
from boto3.s3.transfer import TransferConfig  # noqa: E402

REGION = "us-west-2"
ACCOUNT = "123456789012"
MB = 1 << 20


class Cloud:
    """A running `bertie cloud`; its output is in the file `log`."""

    def __init__(self, bertie, data, *flags, env=None, wait=20):
        self.bertie, self.data = bertie, data
        self.log = data.parent / f"{data.name}.log"
        with open(self.log, "ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen(
                [str(bertie), "cloud", "--port", "0", "--data", str(data), *flags],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})})
        end = time.monotonic() + wait
        self.port = None
        while self.port is None and time.monotonic() < end:
            text = self.log.read_bytes()[begin:].decode()
            found = re.search(r"cloud on https?://\S+:(\d+),", text)
            self.port = int(found.group(1)) if found else None
            if self.process.poll() is not None:
                break
            time.sleep(0.005)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, *flags):
        text = subprocess.run([self.bertie, "cloud", "env", "--data", self.data, *flags], check=True, text=True,
                              capture_output=True).stdout
        return dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines()
                    if line.startswith("export "))

    def client(self, service="s3", key="local", secret="local", token=None, attempts=1, **config):
        return boto3.session.Session().client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=key,
            aws_secret_access_key=secret, aws_session_token=token,
            config=botocore.config.Config(retries={"max_attempts": attempts, "mode": "standard"},
                                          max_pool_connections=60, **config))

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(35)


@pytest.fixture(scope="module")
def clouds(bertie, tmp_path_factory):
    """clouds(name, *flags, env=None) -> Cloud; the folder of that name is used again."""
    root = tmp_path_factory.mktemp("cloud")
    started = []

    def start(name, *flags, env=None):
        cloud = Cloud(bertie, root / name, *flags, env=env)
        started.append(cloud)
        assert cloud.port, cloud.log.read_text()
        return cloud

    yield start
    for cloud in started:
        cloud.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def cloud(clouds):
    return clouds("shared")


@pytest.fixture(scope="module")
def s3(cloud):
    client = cloud.client()
    client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def error(function, *arguments, **keywords):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        function(*arguments, **keywords)
    return raised.value.response["Error"]["Code"]


def body_of(s3, key, **keywords):
    return s3.get_object(Bucket="bucket", Key=key, **keywords)["Body"].read()


def bytes_of(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, MB + 3])
def test_objects_of_every_size(s3, size):
    data = bytes_of(size)
    put = s3.put_object(Bucket="bucket", Key="dir/o bject+ä", Body=data, ContentType="text/x",
                        Metadata={"who": "me"})
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket="bucket", Key="dir/o bject+ä")
    assert got["Body"].read() == data
    assert got["ContentType"] == "text/x" and got["Metadata"] == {"who": "me"}
    head = s3.head_object(Bucket="bucket", Key="dir/o bject+ä", ChecksumMode="ENABLED")
    assert head["ContentLength"] == size and head["ETag"] == put["ETag"]
    assert head["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert abs(head["LastModified"].timestamp() - time.time()) < 60


# 20 MB go as three parts and come as three ranges at once.
@pytest.mark.parametrize("size", [8 * MB - 1, 20 * MB])
def test_transfer_manager(s3, tmp_path, size):
    data = bytes_of(size)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), "bucket", "large", ExtraArgs={"Metadata": {"a": "b"}})
    s3.download_file("bucket", "large", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    head = s3.head_object(Bucket="bucket", Key="large")
    assert head["Metadata"] == {"a": "b"}
    assert head["ETag"].endswith('-3"') == (size > 8 * MB)
    s3.copy({"Bucket": "bucket", "Key": "large"}, "bucket", "copy",
            Config=TransferConfig(multipart_threshold=8 * MB))
    assert hashlib.sha256(body_of(s3, "copy")).digest() == hashlib.sha256(data).digest()


@pytest.mark.skipif(not os.environ.get("BERTIE_LARGE"), reason="BERTIE_LARGE is not set")
def test_transfer_manager_100_mb(s3, tmp_path):
    data = bytes_of(100 * MB)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), "bucket", "huge")
    s3.download_file("bucket", "huge", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data


def test_ranges_and_conditions(s3):
    data = bytes_of(100_000)
    etag = s3.put_object(Bucket="bucket", Key="r", Body=data)["ETag"]
    for text, expected in {"bytes=0-0": data[:1], "bytes=10-19": data[10:20], "bytes=99990-": data[-10:],
                           "bytes=-5": data[-5:], "bytes=5-1000000": data[5:]}.items():
        got = s3.get_object(Bucket="bucket", Key="r", Range=text, IfMatch=etag)
        assert got["Body"].read() == expected
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"].endswith("/100000")
    assert error(s3.get_object, Bucket="bucket", Key="r", Range="bytes=100000-") == "InvalidRange"
    assert error(s3.get_object, Bucket="bucket", Key="r", IfMatch='"no"') == "PreconditionFailed"
    assert error(s3.get_object, Bucket="bucket", Key="r", IfNoneMatch=etag) == "304"
    modified = s3.head_object(Bucket="bucket", Key="r")["LastModified"]
    assert error(s3.get_object, Bucket="bucket", Key="r", IfModifiedSince=modified) == "304"
    assert body_of(s3, "r", IfUnmodifiedSince=modified) == data
    assert error(s3.put_object, Bucket="bucket", Key="r", Body=b"", IfNoneMatch="*") == "PreconditionFailed"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"])
def test_checksums(s3, algorithm):
    values = {"CRC32": "NSRBwg==", "CRC32C": "Nks/tw==", "CRC64NVME": "BeXKuz/B+us=",
              "SHA1": base64.b64encode(hashlib.sha1(b"abc").digest()).decode(),
              "SHA256": base64.b64encode(hashlib.sha256(b"abc").digest()).decode()}
    given = {f"Checksum{algorithm}": values[algorithm]}
    put = s3.put_object(Bucket="bucket", Key="c", Body=b"abc", **given)
    assert put[f"Checksum{algorithm}"] == values[algorithm]
    head = s3.head_object(Bucket="bucket", Key="c", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == values[algorithm]
    assert error(s3.put_object, Bucket="bucket", Key="c", Body=b"abd", **given) == "BadDigest"


def test_content_md5_and_payload_hash(cloud, s3):
    md5 = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    s3.put_object(Bucket="bucket", Key="m", Body=b"abc", ContentMD5=md5)
    assert error(s3.put_object, Bucket="bucket", Key="m", Body=b"abd", ContentMD5=md5) == "BadDigest"
    request = urllib.request.Request(f"{cloud.url}/bucket/m", data=b"abd", method="PUT", headers={
        "X-Amz-Content-SHA256": hashlib.sha256(b"abc").hexdigest()})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert b"XAmzContentSHA256Mismatch" in raised.value.read()
    assert body_of(s3, "m") == b"abc"


def test_a_body_with_trailers(cloud, s3):
    """The form that boto3 sends over HTTPS, in two framings at once."""
    inner = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    for body, status in ((inner, 200), (inner.replace(b"NSRB", b"NSRC"), 400), (inner[:-2], 400)):
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=10)
        connection.request("PUT", "/bucket/t", body=iter([body[:7], body[7:]]), encode_chunked=True, headers={
            "Transfer-Encoding": "chunked", "Content-Encoding": "aws-chunked",
            "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "X-Amz-Decoded-Content-Length": "3", "X-Amz-Trailer": "x-amz-checksum-crc32"})
        assert connection.getresponse().status == status
        connection.close()
    got = s3.get_object(Bucket="bucket", Key="t")
    assert got["Body"].read() == b"abc" and "ContentEncoding" not in got


def test_listing_2500_keys_and_deleting_them(cloud, s3):
    s3.create_bucket(Bucket="many", CreateBucketConfiguration={"LocationConstraint": REGION})
    keys = [f"{i % 5}/k {i:04d}&" for i in range(2500)]

    def put(some):  # without boto3, which needs more time for a request than the server
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
        for key in some:
            connection.request("PUT", "/many/" + urllib.parse.quote(key), body=b"")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(put, [keys[i::16] for i in range(16)]))
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="many"))
    assert [page["KeyCount"] for page in pages] == [1000, 1000, 500]
    assert [item["Key"] for page in pages for item in page["Contents"]] == sorted(keys)
    first = list(s3.get_paginator("list_objects").paginate(Bucket="many", PaginationConfig={"PageSize": 700}))
    assert [item["Key"] for page in first for item in page["Contents"]] == sorted(keys)
    folders = s3.list_objects_v2(Bucket="many", Delimiter="/")
    assert [item["Prefix"] for item in folders["CommonPrefixes"]] == [f"{i}/" for i in range(5)]
    assert s3.list_objects_v2(Bucket="many", Prefix="3/", StartAfter="3/k 2490")["KeyCount"] == 2
    assert error(s3.delete_bucket, Bucket="many") == "BucketNotEmpty"
    for begin in range(0, 2500, 1000):
        chunk = [{"Key": key} for key in keys[begin:begin + 1000]]
        assert len(s3.delete_objects(Bucket="many", Delete={"Objects": chunk})["Deleted"]) == len(chunk)
    assert s3.list_objects_v2(Bucket="many")["KeyCount"] == 0
    s3.delete_bucket(Bucket="many")
    assert error(s3.head_bucket, Bucket="many") == "404"


def test_buckets(s3):
    assert error(s3.create_bucket, Bucket="bucket", CreateBucketConfiguration={
        "LocationConstraint": REGION}) == "BucketAlreadyOwnedByYou"
    assert "bucket" in [item["Name"] for item in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket="bucket")["LocationConstraint"] == REGION
    assert s3.head_bucket(Bucket="bucket", ExpectedBucketOwner=ACCOUNT)
    assert error(s3.head_bucket, Bucket="bucket", ExpectedBucketOwner="210987654321") == "403"


def test_errors_are_those_that_clients_know(s3):
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.get_object(Bucket="nowhere", Key="none")
    assert error(s3.head_object, Bucket="bucket", Key="none") == "404"
    assert error(s3.put_object, Bucket="nowhere", Key="k", Body=b"x" * 100_000) == "NoSuchBucket"
    assert error(s3.get_bucket_acl, Bucket="bucket") == "NotImplemented"
    assert error(s3.put_object, Bucket="bucket", Key="k", Tagging="a=b") == "NotImplemented"
    assert error(s3.list_parts, Bucket="bucket", Key="k", UploadId="none") == "NoSuchUpload"
    s3.delete_object(Bucket="bucket", Key="none")


def test_uploads_in_parts(s3):
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts", ChecksumAlgorithm="CRC32")["UploadId"]
    where = {"Bucket": "bucket", "Key": "parts", "UploadId": upload}
    data = [bytes_of(5 * MB, 1), bytes_of(5 * MB, 2), b"end"]
    parts = []
    for number in (3, 1, 2):
        s3.upload_part(**where, PartNumber=number, Body=b"overwritten")
        part = s3.upload_part(**where, PartNumber=number, Body=data[number - 1])
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    assert [part["Size"] for part in s3.list_parts(**where)["Parts"]] == [len(part) for part in data]
    assert upload in [item["UploadId"] for item in s3.list_multipart_uploads(Bucket="bucket")["Uploads"]]
    assert error(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": parts}) == "InvalidPartOrder"
    parts.sort(key=lambda part: part["PartNumber"])
    wrong = [dict(parts[0], ETag='"0"')] + parts[1:]
    assert error(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": wrong}) == "InvalidPart"
    made = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    again = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})  # a lost answer
    digests = b"".join(hashlib.md5(part).digest() for part in data)
    assert made["ETag"] == again["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert body_of(s3, "parts") == b"".join(data)
    assert body_of(s3, "parts", Range=f"bytes={5 * MB - 2}-{10 * MB + 1}") == b"".join(data)[5 * MB - 2:10 * MB + 2]

    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    where["UploadId"] = upload
    small = [{"PartNumber": n, "ETag": s3.upload_part(**where, PartNumber=n, Body=b"x")["ETag"]} for n in (1, 2)]
    assert error(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": small}) == "EntityTooSmall"
    s3.abort_multipart_upload(**where)
    assert error(s3.abort_multipart_upload, **where) == "NoSuchUpload"


def test_copies(s3):
    s3.put_object(Bucket="bucket", Key="a b%", Body=b"x" * 50_000, Metadata={"k": "v"})
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "a b%"})
    s3.delete_object(Bucket="bucket", Key="a b%")
    assert body_of(s3, "copy") == b"x" * 50_000
    assert s3.head_object(Bucket="bucket", Key="copy")["Metadata"] == {"k": "v"}
    s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/copy", MetadataDirective="REPLACE",
                   Metadata={"k": "w"})
    assert s3.head_object(Bucket="bucket", Key="copy")["Metadata"] == {"k": "w"}
    assert error(s3.copy_object, Bucket="bucket", Key="c", CopySource="bucket/none") == "NoSuchKey"


def test_virtual_hosts(cloud, s3):
    s3.put_object(Bucket="bucket", Key="v/k", Body=b"virtual")
    for host in ("bucket.localhost", f"bucket.s3.{REGION}.amazonaws.com"):
        request = urllib.request.Request(f"{cloud.url}/v/k", headers={"Host": host})
        assert urllib.request.urlopen(request).read() == b"virtual"


def test_a_torn_connection_leaves_nothing(cloud, s3):
    with socket.create_connection(("127.0.0.1", cloud.port)) as sock:
        sock.sendall(b"PUT /bucket/torn HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 600_000)
    objects = cloud.data / "objects"
    end = time.monotonic() + 5
    while list((objects / "unfinished").iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    assert list((objects / "unfinished").iterdir()) == []
    assert error(s3.head_object, Bucket="bucket", Key="torn") == "404"


def test_50_clients_at_once(cloud, s3):
    client = cloud.client()

    def work(number):
        data = bytes_of(20_000 + number, number)
        client.put_object(Bucket="bucket", Key=f"client/{number}", Body=data)
        client.put_object(Bucket="bucket", Key="client/same", Body=bytes([number]) * 40_000)
        same = client.get_object(Bucket="bucket", Key="client/same")["Body"].read()
        return (body_of(client, f"client/{number}") == data and len(same) == 40_000 and len(set(same)) == 1)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert all(pool.map(work, range(50)))


def test_who_am_i(cloud):
    sts = cloud.client("sts")
    identity = sts.get_caller_identity()
    assert identity["Account"] == ACCOUNT
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/LocalRole/local"
    iam = cloud.client("iam")
    role = iam.get_role(RoleName="LocalRole")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service-role/LocalRole"
    assert role["AssumeRolePolicyDocument"]["Statement"]
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="Other")
    assert error(iam.list_users) == "InvalidAction"


def test_what_is_not_there_says_so(cloud):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        cloud.client("sagemaker").list_notebook_instances()
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "ListNotebookInstances" in raised.value.response["Error"]["Message"]
    assert error(cloud.client("logs").describe_queries) == "UnknownOperationException"
    runtime = cloud.client("sagemaker-runtime")
    assert error(runtime.invoke_endpoint, EndpointName="none", Body=b"x") == "ValidationError"


@pytest.fixture(scope="module")
def signed(clouds):
    return clouds("signed", "--sigv4", "on")


def test_signatures(signed):
    environment = signed.environment()
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    assert environment["AWS_ENDPOINT_URL"] == signed.url and len(secret) == 40
    assert (signed.data / "cloud.json").stat().st_mode & 0o077 == 0
    assert secret not in signed.log.read_text()
    s3 = signed.client(key=key, secret=secret)
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="bucket", Key="a b/ä+", Body=b"secret" * 10_000)
    assert body_of(s3, "a b/ä+") == b"secret" * 10_000
    assert s3.list_objects_v2(Bucket="bucket", Prefix="a b/")["KeyCount"] == 1
    wrong = signed.client(key=key, secret="x" * 40)
    assert error(wrong.get_object, Bucket="bucket", Key="a b/ä+") == "SignatureDoesNotMatch"
    assert error(wrong.put_object, Bucket="bucket", Key="k", Body=b"x") == "SignatureDoesNotMatch"
    assert error(signed.client(key="no").list_buckets) == "InvalidAccessKeyId"
    assert error(signed.client("sts", key, "no").get_caller_identity) == "SignatureDoesNotMatch"
    assert error(signed.client("sagemaker", key, "no").list_models) == "InvalidSignatureException"
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(signed.url)
    assert raised.value.code == 403


def test_a_body_that_is_not_signed_is_refused(signed):
    """A PUT whose signature covers the hash of an empty body, and says nothing of it."""
    environment = signed.environment()
    request = botocore.awsrequest.AWSRequest("PUT", f"{signed.url}/bucket/k")
    botocore.auth.SigV4Auth(
        botocore.credentials.Credentials(environment["AWS_ACCESS_KEY_ID"],
                                         environment["AWS_SECRET_ACCESS_KEY"]), "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", signed.port, timeout=10)
    connection.request("PUT", "/bucket/k", body=b"body", headers=dict(request.headers.items()))
    assert connection.getresponse().status == 403


def test_presigned_urls(signed):
    environment = signed.environment()
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    s3 = signed.client(key=key, secret=secret, signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "pre signed"})
    assert urllib.request.urlopen(urllib.request.Request(put, data=b"body", method="PUT")).status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "pre signed",
                                                   "ResponseContentType": "text/html"})
    answer = urllib.request.urlopen(get)
    assert answer.read() == b"body" and answer.headers["Content-Type"] == "text/html"
    for url in (get.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"), get.replace("pre%20", "pra%20"),
                get.replace("text", "test")):
        assert url != get
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(url)
        assert raised.value.code == 403


def test_sessions(signed):
    environment = signed.environment()
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    role = f"arn:aws:iam::{ACCOUNT}:role/LocalRole"
    sts = signed.client("sts", key, secret)
    credentials = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    session = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    assert signed.client("sts", *session).get_caller_identity()["Arn"].endswith("assumed-role/LocalRole/me")
    assert "Buckets" in signed.client("s3", *session).list_buckets()
    other = ("y" if session[2][0] == "x" else "x") + session[2][1:]
    assert error(signed.client("s3", *session[:2], other).list_buckets) == "InvalidToken"
    assert error(sts.assume_role, RoleArn=role + "2", RoleSessionName="me") == "AccessDenied"


def signed_chunks(signed, key, secret, data, damage=None):
    """Uploads as SDKs do that sign each chunk; the arithmetic is botocore's key and our own chain."""
    request = botocore.awsrequest.AWSRequest(
        "PUT", f"{signed.url}/bucket/chunks",
        headers={"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data)),
                 "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    auth = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(key, secret), "s3", REGION)
    auth.payload = lambda _: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    auth._modify_request_before_signing = lambda _: None
    request.headers["X-Amz-Date"] = request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    request.headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
                                        f"SignedHeaders={names}, Signature={signature}")
    body, empty = b"", hashlib.sha256(b"").hexdigest()
    for begin in [*range(0, len(data), 70_000), len(data)]:
        chunk = data[begin:begin + 70_000]
        to_sign = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", request.context["timestamp"],
                             auth.credential_scope(request), signature, empty,
                             hashlib.sha256(chunk).hexdigest()])
        signature = auth.signature(to_sign, request)
        body += f"{len(chunk):x};chunk-signature={signature}\r\n".encode() + chunk + b"\r\n"
    if damage is not None:
        body = body[:damage] + bytes([body[damage] ^ 1]) + body[damage + 1:]
    connection = http.client.HTTPConnection("127.0.0.1", signed.port, timeout=10)
    connection.request("PUT", "/bucket/chunks", body=body, headers=dict(request.headers.items()))
    return connection.getresponse().status


def test_signed_chunks(signed):
    environment = signed.environment()
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    data = bytes_of(200_000)
    assert signed_chunks(signed, key, secret, data) == 200
    assert body_of(signed.client(key=key, secret=secret), "chunks") == data
    assert signed_chunks(signed, key, secret, bytes(200_000), damage=150_000) == 403
    assert body_of(signed.client(key=key, secret=secret), "chunks") == data


def test_start_up(bertie, clouds, run, tmp_path):
    refused = run("cloud", "--host", "0.0.0.0", "--port", 0, "--data", tmp_path / "d")
    assert refused.returncode == 2 and "--sigv4 on" in refused.stderr
    refused = run("cloud", "--host", "0.0.0.0", "--port", 0, "--data", tmp_path / "d", "--sigv4", "off")
    assert refused.returncode == 2
    nothing = run("cloud", "env", "--data", tmp_path / "none")
    assert nothing.returncode == 1 and "start `bertie cloud`" in nothing.stderr
    env = {"BERTIE_CLOUD_ACCESS_KEY_ID": "mykey", "BERTIE_CLOUD_SECRET_ACCESS_KEY": "mysecret"}
    first = clouds("given", "--account", "000000000001", "--region", "eu-west-1", "--role", "R", env=env)
    values = first.environment()
    assert values["AWS_ACCESS_KEY_ID"] == "mykey" and values["AWS_DEFAULT_REGION"] == "eu-west-1"
    config = pathlib.Path(values["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text()
    assert "DefaultS3Bucket: sagemaker-eu-west-1-000000000001" in config
    assert first.client("sts", "mykey", "mysecret").get_caller_identity()["Account"] == "000000000001"
    second = run("cloud", "--port", 0, "--data", first.data)
    assert second.returncode == 1 and "in use by another" in second.stderr


def test_a_restart_keeps_everything_and_sigterm_drains(clouds):
    first = clouds("restart")
    s3 = first.client()
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="bucket", Key="k", Body=b"x" * 100_000)
    upload = s3.create_multipart_upload(Bucket="bucket", Key="u")["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key="u", UploadId=upload, PartNumber=1, Body=b"part")
    s3.close()
    assert first.stop() == 0 and "stopped" in first.log.read_text()
    second = clouds("restart")
    s3 = second.client()
    assert body_of(s3, "k") == b"x" * 100_000
    s3.complete_multipart_upload(Bucket="bucket", Key="u", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert body_of(s3, "u") == b"part"


@pytest.fixture
def quick_path(tmp_path):
    """A folder in memory where there is such a place: a kill is no power cut, and a sync costs time."""
    memory = "/dev/shm"
    if not os.path.isdir(memory):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="bertie-", dir=memory) as folder:
        yield pathlib.Path(folder)


def plain(cloud, method, path, body=b""):
    """A request to the bucket without boto3, whose clients take longer to make than a process."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=20)
    try:
        connection.request(method, "/bucket" + path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_kill_at_any_call_loses_nothing(bertie, quick_path):
    """Every few calls to the file system, the process is killed there while objects are replaced. What
    was acknowledged is there afterwards; what was not is the old object or the new one, never a mix."""
    faults = os.environ.get("BERTIE_FAULTS")
    if not faults:
        pytest.skip("BERTIE_FAULTS is not set")
    old, new = b"o" * 50_000, b"n" * 60_000
    at, step, killed = 1, 1 if os.environ.get("BERTIE_EVERY_FAULT") else 8, 0
    for round_number in range(400):
        data = quick_path / f"d{round_number}"
        cloud = Cloud(bertie, data)
        for path, body in (("", b""), ("/large", old), ("/small", b"old")):
            assert plain(cloud, "PUT", path, body)[0] == 200
        cloud.stop(signal.SIGKILL)

        fired = quick_path / "fired"
        fired.unlink(missing_ok=True)
        mode = "kill" if round_number % 2 else "kill-after"
        cloud = Cloud(bertie, data, env={"LD_PRELOAD": faults, "FAULT_UNDER": str(data), "FAULT_AT": str(at),
                                         "FAULT_MODE": mode, "FAULT_FIRED": str(fired)})
        acknowledged = set()
        if cloud.port:
            try:
                for key, body in (("large", new), ("small", b"new"), ("other", new)):
                    if plain(cloud, "PUT", f"/{key}", body)[0] == 200:
                        acknowledged.add(key)
                if plain(cloud, "DELETE", "/other")[0] == 204:
                    acknowledged.add("deleted")
            except (OSError, http.client.HTTPException):
                pass  # killed
        cloud.stop(signal.SIGKILL)
        if fired.exists():
            killed += 1

        cloud = Cloud(bertie, data)
        assert cloud.port, cloud.log.read_text()
        large = plain(cloud, "GET", "/large")[1]
        assert large == new if "large" in acknowledged else large in (old, new), at
        small = plain(cloud, "GET", "/small")[1]
        assert small == b"new" if "small" in acknowledged else small in (b"old", b"new"), at
        listed = plain(cloud, "GET", "?list-type=2")[1].decode()
        there = re.findall("<Key>([a-z]+)</Key>", listed)
        assert {"large", "small"} <= set(there)
        if "deleted" in acknowledged:
            assert "other" not in there
        elif "other" in acknowledged:
            assert "other" not in there or plain(cloud, "GET", "/other")[1] == new
        files = [path for path in (data / "objects").rglob("*") if path.is_file()]
        assert len(files) == 1 + ("other" in there), (at, files)
        cloud.stop(signal.SIGKILL)
        if not fired.exists() and "deleted" in acknowledged:
            break
        at += step
    else:
        raise AssertionError("the program makes more calls than were tried")
    assert killed >= 3
