"""What the tests of the program share: the binary, model and data, and servers that are always stopped.

Environment: BERTIE, the binary to test, and BERTIE_FAULTS, the library made from tests/faults (ctest
sets both); BERTIE_MINILM, the folder of
all-MiniLM-L6-v2; BERTIE_COLA, the folder of CoLA's raw tsv files. Tests that need one of the last
two are skipped where it is not set.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent


def _folder(variable, file):
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    folder = pathlib.Path(value)
    assert (folder / file).is_file(), f"{variable}={value} holds no {file}"
    return folder


@pytest.fixture(scope="session")
def bertie():
    """Path of the program."""
    value = os.environ.get("BERTIE")
    assert value, "set BERTIE to the bertie binary to test"
    path = pathlib.Path(value).resolve()
    assert os.access(path, os.X_OK), f"BERTIE={value} is no program"
    return path


@pytest.fixture(scope="session")
def run(bertie):
    """run(*arguments, stdin=None, timeout=300) -> CompletedProcess with text output."""

    def run_bertie(*arguments, stdin=None, timeout=300, env=None):
        return subprocess.run([str(bertie), *map(str, arguments)], input=stdin, text=True,
                              capture_output=True, timeout=timeout, env=env)

    return run_bertie


@pytest.fixture(scope="session")
def minilm():
    return _folder("BERTIE_MINILM", "model.safetensors")


@pytest.fixture(scope="session")
def cola():
    return _folder("BERTIE_COLA", "in_domain_train.tsv")


@pytest.fixture(scope="session")
def tiny_model():
    """A real BertForSequenceClassification of 22,000 weights with three labels (tests/golden)."""
    return TESTS / "golden" / "tiny"


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


class Server:
    """A running `bertie serve`. stderr is in the file `log`."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log

    def request(self, method, path, body=None, headers=None, timeout=60):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body,
                                         method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def invoke(self, value, content_type="application/json"):
        return self.request("POST", "/invocations", json.dumps(value).encode(),
                            {"Content-Type": content_type})

    def stop(self, number=signal.SIGTERM, timeout=35):
        """Ends the server and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def serve(bertie, tmp_path):
    """serve(model, *flags) -> Server that answers /ping; all are stopped when the test ends.

    model may be None where the flags say what is served."""
    servers = []

    def start(model, *flags, wait=20):
        port = free_port()
        log = tmp_path / f"serve-{port}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [str(bertie), "serve", *([str(model)] if model else []), "--port", str(port),
                 *map(str, flags)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        server = Server(process, port, log)
        servers.append(server)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            assert process.poll() is None, f"serve ended with {process.returncode}: {log.read_text()}"
            try:
                if server.request("GET", "/ping", timeout=2).status == 200:
                    return server
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"no 200 from /ping within {wait} s: {log.read_text()}")

    yield start
    for server in servers:
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            raise


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium, as Playwright's browser."""
    import browser

    playwright = pytest.importorskip("playwright.sync_api")
    if browser.CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser.CHROMIUM, args=browser.FLAGS)
        yield running
        running.close()


@pytest.fixture
def open_tab(chromium):
    """open_tab(origin, path="/", **context) -> browser.Tab; all are closed when the test ends.

    clock: the page's timers are the test's to turn (tab.clock)."""
    import browser

    tabs = []

    def open_one(origin, path="/", clock=False, **options):
        tab = browser.Tab(chromium, origin, **options)
        tabs.append(tab)
        if clock:
            tab.clock.install()
        tab.goto(path)
        return tab

    yield open_one
    for tab in tabs:
        tab.close()
