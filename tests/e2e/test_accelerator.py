"""`bertie serve --accelerator` beside a real `bertie accelerator`: the same answers, and what happens
when it dies, stops, refuses and comes back."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from conftest import free_port

TESTS = pathlib.Path(__file__).resolve().parent.parent
TEXTS = json.loads((TESTS / "serve" / "pipeline.json").read_text())["texts"]
TYPE = ("--accelerator-type", "ml.eia2.medium")


class Accelerator:
    """A `bertie accelerator` on one address, which can be started again there."""

    def __init__(self, bertie, folder, *flags, env=None):
        self.bertie, self.folder, self.flags, self.env = bertie, folder, flags, env
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / f"accelerator-{self.address}.log"
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [str(self.bertie), "accelerator", "--listen", self.address, "--status-listen", "off",
                 "--threads", "1", "--store", str(self.folder / f"store-{self.address}"), *self.flags],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **(self.env or {})})
        wait_for(lambda: self.log.read_text().count(f"on {self.address}") and self.process.poll() is None)

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait(10)


@pytest.fixture
def accelerator(bertie, tmp_path):
    started = []

    def start(*flags, env=None):
        started.append(Accelerator(bertie, tmp_path, *flags, env=env))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def wait_for(holds, seconds=20):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
    return found


def metric(server, name):
    page = server.request("GET", "/metrics").body.decode()
    lines = [line for line in page.splitlines() if line.startswith(f"bertie_accelerator_{name} ")]
    assert len(lines) == 1, page
    return float(lines[0].split()[-1])


def by(server, whom):
    return metric(server, f'batches_total{{by="{whom}"}}')


def attached(server, accelerator):
    return metric(server, f'attached{{address="{accelerator.address}"}}') == 1


class Load:
    """Clients that ask all the time; the answers that were not 200, and how many were, by then."""

    def __init__(self, server, expected, clients=4):
        self.server, self.expected = server, expected
        self.stop, self.good, self.bad, self.slowest = False, 0, [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, i):
        while not self.stop:
            text = TEXTS[i % len(TEXTS)]
            begin = time.monotonic()
            answer = self.server.invoke(text)
            took = time.monotonic() - begin
            with self.lock:
                self.slowest = max(self.slowest, took)
                if answer.status == 200 and answer.json() == [self.expected[i % len(TEXTS)]]:
                    self.good += 1
                else:
                    self.bad.append((answer.status, answer.body))
            i += 1

    def more(self, answers):
        """Waits until so many more are good."""
        goal = self.good + answers
        wait_for(lambda: self.good >= goal)

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()


@pytest.fixture
def local_logits(serve, tiny_model):
    server = serve(tiny_model)
    logits = server.invoke(TEXTS).json()
    server.stop()
    return logits


def another_model(folder, to):
    """The same shape with other weights: the bytes of its last tensor reversed."""
    shutil.copytree(folder, to)
    weights = to / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-64:] = b"".join(data[len(data) - 4 * i - 4:len(data) - 4 * i] for i in range(16))
    weights.write_bytes(data)
    return to


def test_the_same_logits_and_one_upload(serve, accelerator, tiny_model, local_logits):
    there = accelerator()
    first = serve(tiny_model, "--accelerator", there.address, *TYPE, "--no-fallback")
    assert first.invoke(TEXTS).json() == local_logits
    assert metric(first, "upload_bytes_total") >= (tiny_model / "model.safetensors").stat().st_size
    assert re.search(r"attached to 127.0.0.1:\d+ \(bertie .*\) as ml.eia2.medium, fp32, in .* s; "
                     "the model was uploaded", first.log.read_text())
    second = serve(tiny_model, "--accelerator", there.address, *TYPE)
    assert second.invoke(TEXTS).json() == local_logits
    assert metric(second, "upload_bytes_total") == 0
    assert "the model was there already" in second.log.read_text()
    assert by(second, "accelerator") >= 1 and by(second, "fallback") == 0
    # Two endpoints at once with one model, and each text alone as in a batch.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: [first, second][i % 2].invoke(TEXTS[i % len(TEXTS)]).json(),
                                range(100)))
    assert answers == [[local_logits[i % len(TEXTS)]] for i in range(100)]


def test_two_models_are_never_mixed(serve, accelerator, tiny_model, tmp_path):
    other_model = another_model(tiny_model, tmp_path / "other")
    there = accelerator()
    models = [tiny_model, other_model]
    expected = [serve(model).invoke(TEXTS).json() for model in models]
    assert expected[0] != expected[1]
    servers = [serve(model, "--accelerator", there.address, *TYPE, "--no-fallback") for model in models]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: servers[i % 2].invoke(TEXTS[i // 2 % len(TEXTS)]).json(),
                                range(200)))
    assert answers == [[expected[i % 2][i // 2 % len(TEXTS)]] for i in range(200)]


def test_killed_under_load_with_fallback_nothing_fails(serve, accelerator, tiny_model, local_logits):
    there = accelerator()
    server = serve(tiny_model, "--accelerator", there.address, *TYPE)
    load = Load(server, local_logits)
    for _ in range(3):
        load.more(50)
        there.kill()
        load.more(50)
        assert server.request("GET", "/ping").status == 200
        there.start()
        wait_for(lambda: attached(server, there))
        before = by(server, "accelerator")
        wait_for(lambda: by(server, "accelerator") > before)
    load.end()
    assert load.bad == []
    # Nothing was computed twice but what was under way.
    batches = by(server, "accelerator") + by(server, "fallback")
    sent = metric(server, "sent_batches_total")
    assert sent + by(server, "fallback") <= 1.1 * batches + 10
    assert "going on here" in server.log.read_text()


def test_killed_without_fallback_it_is_503_until_it_is_back(serve, accelerator, tiny_model, local_logits):
    there = accelerator()
    server = serve(tiny_model, "--accelerator", there.address, *TYPE, "--no-fallback")
    load = Load(server, local_logits)
    load.more(20)
    there.kill()
    wait_for(lambda: server.request("GET", "/ping").status == 503)
    refused = server.invoke(TEXTS[0])
    assert refused.status == 503 and refused.json()["type"] == "ServiceUnavailable"
    assert "accelerator" in refused.json()["message"]
    there.start()
    back = time.monotonic()
    wait_for(lambda: server.request("GET", "/ping").status == 200)
    assert time.monotonic() - back < 10  # tests/long measures it
    load.more(20)
    load.end()
    assert {status for status, _ in load.bad} == {503}
    assert load.slowest < 5


def test_stopped_it_is_hedged_and_left_alone_and_taken_again(serve, accelerator, tiny_model, local_logits):
    there = accelerator()
    server = serve(tiny_model, "--accelerator", there.address, *TYPE)
    load = Load(server, local_logits)
    load.more(200)  # enough to know its 99th percentile
    there.kill(signal.SIGSTOP)
    try:
        load.more(200)
        assert not attached(server, there)
    finally:
        there.kill(signal.SIGCONT)
    wait_for(lambda: attached(server, there))
    before = by(server, "accelerator")
    wait_for(lambda: by(server, "accelerator") > before + 20)
    load.end()
    assert load.bad == []
    assert metric(server, "hedged_batches_total") >= 1
    assert load.slowest < 5
    assert "is left alone until it answers a probe" in server.log.read_text()


def test_one_of_two_addresses_is_dead(serve, accelerator, tiny_model, local_logits):
    living, dying = accelerator(), accelerator()
    dead = f"127.0.0.1:{free_port()}"
    server = serve(tiny_model, "--accelerator", f"{dead},{living.address},{dying.address}", *TYPE,
                   "--no-fallback")
    wait_for(lambda: attached(server, living) and attached(server, dying))
    load = Load(server, local_logits)
    load.more(50)
    dying.kill()
    load.more(50)
    load.end()
    assert load.bad == []
    assert f"the accelerator at {dead} cannot be reached" in server.log.read_text()


def test_what_the_user_reads(run, accelerator, tiny_model, tmp_path):
    there = accelerator("--capacity", "eia2.medium")

    def refused(*flags, env=None):
        result = run("serve", tiny_model, "--port", 0, *flags, timeout=30,
                     env={**os.environ, **(env or {})})
        assert result.returncode != 0
        return result.stderr

    message = refused("--accelerator", there.address, "--accelerator-type", "ml.p9.huge")
    assert there.address in message and "ml.p9.huge" in message and "eia2.medium" in message
    message = refused("--accelerator", there.address, "--accelerator-type", "ml.eia2.xlarge")
    assert there.address in message and "unit" in message
    nobody = f"127.0.0.1:{free_port()}"
    message = refused("--accelerator", nobody, "--no-fallback")
    assert f"{nobody} cannot be reached" in message and "'bertie accelerator'" in message
    assert "HOST:PORT" in refused("--accelerator", "somewhere")
    assert "--accelerator" in refused("--no-fallback")

    locked = accelerator(env={"BERTIE_ACCELERATOR_TOKEN": "right"})
    (tmp_path / "token").write_text("wrong\n")
    message = refused("--accelerator", locked.address, "--accelerator-token-file", tmp_path / "token")
    assert "token" in message and "BERTIE_ACCELERATOR_TOKEN" in message


def test_a_token(serve, accelerator, tiny_model, tmp_path):
    there = accelerator(env={"BERTIE_ACCELERATOR_TOKEN": "right"})
    (tmp_path / "token").write_text("right\n")
    server = serve(tiny_model, "--accelerator", there.address, *TYPE, "--no-fallback",
                   "--accelerator-token-file", tmp_path / "token")
    assert server.invoke("the sea").status == 200


def test_without_an_accelerator_at_the_start_it_is_awaited(serve, accelerator, tiny_model, local_logits):
    there = accelerator()
    there.kill()
    server = serve(tiny_model, "--accelerator", there.address, *TYPE)
    assert server.invoke(TEXTS).json() == local_logits
    there.start()
    wait_for(lambda: attached(server, there))
    assert server.invoke(TEXTS).json() == local_logits
    assert by(server, "accelerator") >= 1
