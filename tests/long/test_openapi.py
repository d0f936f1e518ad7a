"""schemathesis, from PyPI, makes requests of its own out of /openapi.json and holds the answers to it."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "e2e"))

from conftest import Server, free_port  # noqa: E402


@pytest.fixture(scope="module")
def schemathesis():
    path = shutil.which("schemathesis") or shutil.which("schemathesis", path=pathlib.Path(sys.executable).parent)
    if path is None:
        pytest.skip("schemathesis is not installed")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    port, log = free_port(), tmp_path_factory.mktemp("openapi") / "serve.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([os.environ["BERTIE"], "serve", str(TESTS / "golden" / "tiny"), "--port",
                                    str(port)], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    running = Server(process, port, log)
    end = time.monotonic() + 20
    while True:
        try:
            if running.request("GET", "/ping", timeout=2).status == 200:
                break
        except OSError:
            time.sleep(0.05)
        assert time.monotonic() < end and process.poll() is None, log.read_text()
    yield running
    assert running.stop() == 0


def run(schemathesis, server, *options):
    command = [schemathesis, "run", f"http://127.0.0.1:{server.port}/openapi.json", "--phases",
               "examples,coverage,fuzzing", "--continue-on-failure", "--seed", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=server.log.parent)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]


def test_answers_and_refusals_are_as_the_document_says(schemathesis, server):
    """Every check but one: a schema cannot say that data fills its shape, that a model is a re-ranker, that
    a text fits where truncation is off, or that TEI refuses an empty one with 413, so that some bodies are
    refused although they have the form."""
    run(schemathesis, server, "--checks", "all", "--exclude-checks", "positive_data_acceptance",
        "--max-examples", "60")


def test_what_has_the_form_is_accepted(schemathesis, server):
    """Where the schema does say all."""
    run(schemathesis, server, "--checks", "positive_data_acceptance", "--max-examples", "60", "--include-path",
        "/tokenize", "--include-path", "/info", "--include-path", "/v2", "--include-path", "/docs")
