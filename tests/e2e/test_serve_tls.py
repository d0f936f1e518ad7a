"""`bertie serve` with a certificate of one's own."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from tls_files import authority, certificate  # noqa: F401


@pytest.fixture
def server(bertie, tiny_model, authority, tmp_path):  # noqa: F811
    for end in ("pem", "key"):
        shutil.copy(authority / f"server.{end}", tmp_path / f"own.{end}")
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [bertie, "serve", tiny_model, "--port", "0", "--address-file", tmp_path / "address",
             "--tls-cert", tmp_path / "own.pem", "--tls-key", tmp_path / "own.key"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    end = time.monotonic() + 20
    while "serving" not in log.read_text() and time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    yield process, int((tmp_path / "address").read_text().rsplit(":", 1)[1]), log
    process.kill()
    process.wait()


def trusting(authority):  # noqa: F811
    return ssl.create_default_context(cafile=authority / "ca.pem")


def shown(port, context):
    """The serial number of the certificate that a new client is shown."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as connection:
        return connection.getpeercert()["serialNumber"]


def eventually(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_requests_and_a_certificate_that_is_replaced(server, authority, tmp_path):  # noqa: F811
    process, port, log = server
    context = trusting(authority)
    assert f"on https://127.0.0.1:{port}" in log.read_text()
    request = urllib.request.Request(f"https://localhost:{port}/invocations", data=b'"the sea"',
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        assert len(json.loads(answer.read())[0]) == 3
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(port, ssl.create_default_context())

    before = shown(port, context)
    (tmp_path / "own.key").write_text("no key")
    os.kill(process.pid, signal.SIGHUP)
    eventually(lambda: "the certificate stays as it was" in log.read_text())
    assert shown(port, context) == before

    certificate(authority, "next", ca="ca")
    shutil.copy(authority / "next.pem", tmp_path / "own.pem")
    shutil.copy(authority / "next.key", tmp_path / "own.key")
    os.kill(process.pid, signal.SIGHUP)
    eventually(lambda: shown(port, context) != before)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_cannot_be_used_is_said(run, tiny_model, authority):  # noqa: F811
    done = run("serve", tiny_model, "--tls-cert", authority / "server.pem")
    assert done.returncode != 0 and "--tls-key" in done.stderr
    done = run("serve", tiny_model, "--tls-cert", authority / "server.pem", "--tls-key", authority / "client.key")
    assert done.returncode != 0 and "does not belong" in done.stderr and "server.pem" in done.stderr
