"""TensorBoard itself reads the events of a run: its loader, and its server over HTTP."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

TESTS = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard")
    rows = [f"{text},{label}" for _ in range(8)
            for text, label in (("the sea it", 1), ("rain the rain", 0), ("it the sea", 1), ("it rain", 0))]
    (folder / "train.csv").write_text("sentence,label\n" + "\n".join(rows) + "\n")
    subprocess.run([os.environ["BERTIE"], "train", folder / "train.csv", "--model", TESTS / "golden" / "tiny",
                    "--out", folder / "out", "--epochs", "3", "--batch-size", "4", "--log-interval", "1",
                    "--threads", "1"], check=True, capture_output=True)
    return folder / "out"


def history(out, kind):
    lines = (out / "history.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_the_loader_reads_every_value(out):
    (folder,) = (out / "runs").iterdir()
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        "train/loss", "train/learning_rate", "train/grad_norm", "train/sentences_per_s", "train/epoch",
        "train/epoch_loss", "test/loss", "test/accuracy", "test/f1", "test/macro_f1", "test/mcc"}
    for tag, kind, key in (("train/loss", "step", "loss"), ("test/mcc", "epoch", "test_mcc")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(event["step"], pytest.approx(event[key], rel=1e-6)) for event in history(out, kind)]
        assert found == expected, tag


@pytest.fixture(scope="module")
def server(out):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", out / "runs", "--port",
                                str(port), "--host", "127.0.0.1", "--load_fast=false"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    try:
        end = time.monotonic() + 90
        while True:
            try:
                if get("plugin/scalars/tags") and get("plugin/text/tags"):
                    break
            except OSError:
                pass
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.5)
        yield get
    finally:
        process.terminate()
        process.wait()


def test_the_server_shows_scalars_and_the_recipe(server, out):
    (run,) = (folder.name for folder in (out / "runs").iterdir())
    assert "train/loss" in server("plugin/scalars/tags")[run]
    points = server("plugin/scalars/scalars?" + urllib.parse.urlencode({"run": run, "tag": "test/accuracy"}))
    assert [point[1] for point in points] == [event["step"] for event in history(out, "epoch")]
    assert "recipe" in server("plugin/text/tags")[run]
    (text,) = server("plugin/text/text?" + urllib.parse.urlencode({"run": run, "tag": "recipe"}))
    assert "<td>learning rate</td>" in text["text"]
