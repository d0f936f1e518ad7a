"""`bertie cloud` over HTTPS, and as the proxy by which clients that name Amazon's own hosts come to it."""

import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time

import pytest

boto3 = pytest.importorskip("boto3")

from test_cloud_s3 import MB, REGION, Cloud, bytes_of  # noqa: E402

# The clients get no address: what they need is in the environment. In a process of its own, as one
# reads it once.
CLIENT = """
import boto3, hashlib, io, random, sys
from botocore.config import Config
config = Config(retries={"max_attempts": 1})
s3 = boto3.client("s3", config=config)
body = random.Random(3).randbytes(20 << 20)
try:
    s3.create_bucket(Bucket="secure", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
except s3.exceptions.BucketAlreadyOwnedByYou:
    pass
s3.upload_fileobj(io.BytesIO(body), "secure", "a/big.bin")
s3.put_object(Bucket="secure", Key="small", Body=b"abc")
back = io.BytesIO()
s3.download_fileobj("secure", "a/big.bin", back)
assert back.getvalue() == body
assert s3.get_object(Bucket="secure", Key="a/big.bin")["Body"].read() == body  # in one answer
assert s3.get_object(Bucket="secure", Key="small", Range="bytes=1-1")["Body"].read() == b"b"
print("account", boto3.client("sts", config=config).get_caller_identity()["Account"])
print("role", boto3.client("iam", config=config).get_role(RoleName="LocalRole")["Role"]["Arn"])
print("models", boto3.client("sagemaker", config=config).list_models()["Models"])
print("groups", len(boto3.client("logs", config=config).describe_log_groups()["logGroups"]))
try:
    boto3.client("sagemaker-runtime", config=config).invoke_endpoint(EndpointName="none", Body=b"1")
except Exception as error:
    print("runtime", error)
"""


def environment(cloud, *flags):
    """This process's without what could lead a client elsewhere, and what `bertie cloud env` exports."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
    return {**clean, **cloud.environment(*flags)}


def run_client(environment, program=CLIENT):
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=120,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def cloud(bertie, folder):
    cloud = Cloud(bertie, folder / "data", "--tls", "--proxy-port", "0")
    assert cloud.port, cloud.log.read_text()
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def authority(cloud):
    return cloud.data / "ca" / "ca.pem"


@pytest.fixture(scope="module")
def proxy(cloud):
    return int(re.search(r"proxy for .* on http://127.0.0.1:(\d+)", cloud.log.read_text()).group(1))


def connect(port, context, name="localhost"):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname=name)


def get(connection, path="/", host="localhost"):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def check(out):
    assert "account 123456789012" in out and "models []" in out, out
    assert re.search(r"role arn:aws:iam::123456789012:role/(\S+/)?LocalRole", out), out
    assert "Endpoint none of account 123456789012 not found." in out, out


def test_boto3_over_https(cloud):
    given = environment(cloud)
    assert given["AWS_ENDPOINT_URL"] == f"https://127.0.0.1:{cloud.port}"
    check(run_client(given))


def test_boto3_by_amazons_names(cloud):
    given = environment(cloud, "--proxy")
    assert "AWS_ENDPOINT_URL" not in given
    check(run_client(given))


def test_the_key_is_secret_and_stays(cloud, authority, bertie, folder):
    assert stat.S_IMODE((authority.parent / "ca.key").stat().st_mode) == 0o600
    before = authority.read_bytes()
    other = Cloud(bertie, folder / "kept", "--tls")
    first = (folder / "kept" / "ca" / "ca.pem").read_bytes()
    assert other.stop() == 0 and first != before
    other = Cloud(bertie, folder / "kept", "--tls")
    assert (folder / "kept" / "ca" / "ca.pem").read_bytes() == first
    assert other.stop() == 0
    (folder / "kept" / "ca" / "ca.key").write_text("no key\n")
    other = Cloud(bertie, folder / "kept", "--tls")
    assert other.port is None and "ca.pem and ca.key" in other.log.read_text()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_versions_of_tls_and_who_is_trusted(cloud, authority):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=authority)
        # What newer Pythons ask of certificates.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.minimum_version = context.maximum_version = version
        with connect(cloud.port, context) as connection:
            assert b"ListAllMyBucketsResult" in get(connection)
    old = ssl.create_default_context(cafile=authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        connect(cloud.port, old)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(cloud.port, ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(cloud.port, ssl.create_default_context(cafile=authority), name="elsewhere.example")


def test_plain_http_is_told_of_tls(cloud):
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=20) as plain:
        answer = get(plain)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer


def test_curl(cloud, authority, proxy, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    (tmp_path / "body").write_bytes(bytes_of(3 * MB))

    def curl(*arguments):
        return subprocess.run(["curl", "-sS", "--cacert", authority, *arguments], capture_output=True, timeout=60)

    base = f"https://localhost:{cloud.port}/curled"
    assert curl("-X", "PUT", base, "-f").returncode == 0
    assert curl("-f", "-T", tmp_path / "body", f"{base}/key").returncode == 0
    assert curl("-f", f"{base}/key").stdout == bytes_of(3 * MB)
    through = ["--proxy", f"http://127.0.0.1:{proxy}"]
    assert curl("-f", *through, f"https://curled.s3.{REGION}.amazonaws.com/key").stdout == bytes_of(3 * MB)
    refused = curl(*through, "https://example.com/")
    assert refused.returncode != 0 and b"403" in refused.stderr
    assert curl(*through, f"https://ec2.{REGION}.amazonaws.com/").returncode != 0
    assert curl(*through, f"https://s3.{REGION}.amazonaws.com:444/").returncode != 0


def test_sagemakers_telemetry_is_answered_and_not_kept(cloud, proxy, authority):
    with socket.create_connection(("127.0.0.1", proxy), timeout=20) as plain:
        host = f"sm-pysdk-t-{REGION}.s3.{REGION}.amazonaws.com"
        plain.sendall(f"CONNECT {host}:443 HTTP/1.0\r\n\r\n".encode())
        assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cafile=authority)
        with context.wrap_socket(plain, server_hostname=host) as connection:
            answer = get(connection, "/telemetry?x=1", host)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Content-Length: 0\r\n" in answer


def test_what_is_no_handshake_holds_nothing_up(cloud, authority, proxy):
    held = []
    for n in range(200):
        connection = socket.create_connection(("127.0.0.1", proxy if n % 4 == 3 else cloud.port), timeout=20)
        held.append(connection)
        if n % 4 == 0:
            connection.sendall(os.urandom(300))
        elif n % 4 == 1:
            connection.sendall(b"\x16\x03\x01\x40\x00\x01")  # a record that never comes whole
        elif n % 4 == 3:
            connection.sendall(f"CONNECT s3.{REGION}.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    context = ssl.create_default_context(cafile=authority)
    begin = time.monotonic()
    with connect(cloud.port, context) as connection:
        assert b"ListAllMyBucketsResult" in get(connection)
    assert time.monotonic() - begin < 10
    for connection in held:
        connection.close()


def test_it_ends_in_order_with_clients_attached(bertie, folder):
    cloud = Cloud(bertie, folder / "ends", "--tls", "--proxy-port", "0")
    context = ssl.create_default_context(cafile=folder / "ends" / "ca" / "ca.pem")
    idle = connect(cloud.port, context)
    half = socket.create_connection(("127.0.0.1", cloud.port))
    begin = time.monotonic()
    assert cloud.stop() == 0
    assert time.monotonic() - begin < 12
    assert idle.recv(10) == b""
    idle.close(), half.close()


def test_env_says_when_there_is_no_proxy(bertie, folder):
    cloud = Cloud(bertie, folder / "plain")
    done = subprocess.run([bertie, "cloud", "env", "--proxy", "--data", cloud.data], text=True, capture_output=True)
    assert done.returncode != 0 and "--proxy-port" in done.stderr
    assert cloud.stop() == 0
