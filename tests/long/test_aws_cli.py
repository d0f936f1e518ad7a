"""The aws command against `bertie cloud`: what people type. Skipped where there is no aws in PATH."""

import filecmp
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest

AWS = shutil.which("aws")
pytestmark = pytest.mark.skipif(AWS is None, reason="no aws in PATH")


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """aws(*arguments) -> CompletedProcess, in the environment that `bertie cloud env` prints."""
    program = os.environ["BERTIE"]
    folder = tmp_path_factory.mktemp("cloud")
    log = folder / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen([program, "cloud", "--port", "0", "--sigv4", "on", "--data", folder / "d"],
                                   stdin=subprocess.DEVNULL, stderr=out)
    end = time.monotonic() + 20
    while not re.search(r"cloud on http", log.read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    exports = subprocess.run([program, "cloud", "env", "--data", folder / "d"], check=True, text=True,
                             capture_output=True).stdout
    environment = dict(os.environ)
    for line in exports.splitlines():
        if line.startswith("export "):
            name, value = shlex.split(line)[1].split("=", 1)
            environment[name] = value
    yield lambda *arguments: subprocess.run([AWS, *map(str, arguments)], env=environment, text=True,
                                            capture_output=True, timeout=120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(35) == 0, log.read_text()


def test_copy_sync_list_and_remove(aws, tmp_path):
    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "large").write_bytes(os.urandom(20 << 20))
    (tmp_path / "up" / "sub" / "a b+ä").write_bytes(b"small")
    (tmp_path / "up" / "empty").write_bytes(b"")
    assert aws("s3", "mb", "s3://bucket").returncode == 0
    for command in (("sync", tmp_path / "up", "s3://bucket/up"), ("sync", "s3://bucket/up", tmp_path / "down")):
        done = aws("s3", *command)
        assert done.returncode == 0, done.stderr
    compared = filecmp.dircmp(tmp_path / "up", tmp_path / "down")
    assert not (compared.left_only or compared.right_only or compared.diff_files)
    assert (tmp_path / "down" / "sub" / "a b+ä").read_bytes() == b"small"
    listed = aws("s3", "ls", "--recursive", "s3://bucket").stdout
    assert "up/sub/a b+ä" in listed and "20971520" in listed
    assert aws("s3", "mv", "s3://bucket/up/large", "s3://bucket/moved").returncode == 0
    assert "moved" in aws("s3", "ls", "s3://bucket/").stdout
    assert aws("s3", "rm", "--recursive", "s3://bucket").returncode == 0
    assert aws("s3", "rb", "s3://bucket").returncode == 0
    assert "NoSuchBucket" in aws("s3", "ls", "s3://bucket").stderr


def test_who_am_i(aws):
    assert '"Account": "123456789012"' in aws("sts", "get-caller-identity").stdout
    assert "UnknownOperationException" in aws("sagemaker", "list-pipelines").stderr
