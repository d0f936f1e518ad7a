"""The notebook that bertie was written for, run by SageMaker's own Python SDK against `bertie cloud`, which the
SDK is told of by environment variables alone. `bertie train` and `bertie serve` are what its images run.

The interpreter that runs the tests needs the SDK's last 2.x (tests/long/requirements.txt).
BERTIE_SAGEMAKER_2_24: a Python interpreter that has version 2.24, from the notebook's own time
(requirements-2.24.txt beside this file). Starts from BERTIE_MINILM and CoLA (BERTIE_COLA) where
they are set, else from a tiny model. A quarter of an hour: the SDK sleeps 30 s a look.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "e2e"))
pytest.importorskip("boto3")

from test_cloud_jobs import BAD, GOOD  # noqa: E402
from test_cloud_s3 import ACCOUNT, REGION, Cloud  # noqa: E402

TINY = TESTS / "golden" / "tiny"
TORCHSCRIPT = TESTS / "golden" / "torchscript"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/LocalRole"


def interpreter(line):
    """A Python that has the SDK of that line, or a skip that says why there is none."""
    variable = {"2.24": "BERTIE_SAGEMAKER_2_24"}.get(line)
    python = os.environ.get(variable, "") if variable else sys.executable
    if not python:
        pytest.skip(f"{variable} names no Python interpreter with sagemaker {line}")
    done = subprocess.run([python, "-c", "import sagemaker; print(sagemaker.__version__)"], text=True,
                          capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"{python} cannot import sagemaker: {done.stderr.strip().splitlines()[-1]}")
    return python


def rows():
    """(label, text) of the training and the test file."""
    folder = os.environ.get("BERTIE_COLA")
    if not folder or not os.environ.get("BERTIE_MINILM"):
        return [[(int("sea" in text), text) for text in texts] for texts in ((GOOD + BAD) * 4, GOOD + BAD)]
    texts = []
    for name, count in (("in_domain_train.tsv", 1500), ("in_domain_dev.tsv", 200)):
        lines = (pathlib.Path(folder) / name).read_text().splitlines()[:count]
        texts.append([(int(fields[1]), fields[3]) for fields in (line.split("\t") for line in lines)])
    return texts


def make_folder(folder):
    """What the notebook's own cells have put beside it."""
    for name, lines in zip(("train.csv", "test.csv"), rows(), strict=True):
        with open(folder / name, "w", newline="") as out:
            csv.writer(out).writerows([("label", "sentence"), *lines])
    (folder / "code").mkdir()
    for name in ("train_deploy.py", "deploy_ei.py"):
        (folder / "code" / name).write_text("raise SystemExit('this script does not run here')\n")
    # The notebook's has bert-base-uncased's vocabulary, which bertie then knows by itself.
    with tarfile.open(folder / "traced_bert.tar.gz", "w:gz") as archive:
        archive.add(TORCHSCRIPT / "torch1.3.pt", "traced_bert.pt")
        archive.add(TINY / "vocab.txt", "vocab.txt")
    text = json.loads((TORCHSCRIPT / "torch1.3.json").read_text())["answers"][0]["text"]
    (folder / "traced.txt").write_text(text)


class Notebook:
    def __init__(self, bertie, folder, *flags):
        self.folder = folder
        self.bertie = bertie
        model = os.environ.get("BERTIE_MINILM") or str(TINY)
        self.cloud = Cloud(bertie, folder / "data", *flags, env={"BERTIE_MODEL": model})
        assert self.cloud.port, self.cloud.log.read_text()
        (folder / "work").mkdir()
        make_folder(folder / "work")

    def run(self, python, environment):
        """{cell: result} of the cells."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("AWS_", "SAGEMAKER_")) and "proxy" not in name.lower()}
        done = subprocess.run([python, str(TESTS / "long" / "notebook" / "cells.py")], cwd=self.folder / "work",
                              text=True, capture_output=True, timeout=1500, env={**kept, **environment})
        self.out = done.stdout + done.stderr
        assert done.returncode == 0, self.out[-6000:] + self.cloud.log.read_text()[-3000:]
        return dict(json.loads(line[5:]) for line in self.out.splitlines() if line.startswith("CELL "))

    def predict(self, *texts):
        """Logits by `bertie predict` from the archive that the job left."""
        done = subprocess.run([self.bertie, "predict", self.folder / "work" / "model.tar.gz", "--logits", "--format",
                               "json"], input="\n".join(texts) + "\n", text=True, capture_output=True, check=True)
        return [list(json.loads(line)["logits"].values()) if isinstance(json.loads(line)["logits"], dict)
                else json.loads(line)["logits"] for line in done.stdout.splitlines()]


def processes(word):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in (line := entry.read_bytes().decode(errors="replace")):
                found.append(line.replace("\0", " "))
        except OSError:
            pass
    return found


def check(notebook, cells):
    for cell, shape in (("estimator", (1, 2)), ("model", (1, 2)), ("batch", (3, 2)), ("traced", (1, 3))):
        logits = cells[cell]["logits"]
        assert (len(logits), len(logits[0])) == shape, (cell, logits)
    # The same sentence has the same logits alone and among others, deployed by either class.
    expected = notebook.predict("Somebody just left - guess who.")[0]
    for cell in ("estimator", "model", "batch"):
        assert cells[cell]["logits"][0] == pytest.approx(expected, abs=2e-5), cell
    traced = json.loads((TORCHSCRIPT / "torch1.3.json").read_text())["answers"][0]["logits"]
    assert cells["traced"]["logits"][0] == pytest.approx(traced, abs=1e-4)
    assert {"config.json", "model.safetensors", "vocab.txt"} <= set(cells["files"]), cells["files"]
    assert cells["bucket"] == f"sagemaker-{REGION}-{ACCOUNT}" and cells["role"].endswith("role/LocalRole")
    assert "Training seconds: " in notebook.out and "Test set: Accuracy: " in notebook.out


def check_nothing_is_left(notebook):
    sagemaker = notebook.cloud.client("sagemaker")
    end = time.monotonic() + 40
    while sagemaker.list_endpoints()["Endpoints"] and time.monotonic() < end:
        time.sleep(0.1)
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    data = notebook.cloud.data
    left = [path for path in (data / "endpoints").rglob("*") if path.is_file() and path.name != "log"]
    assert left == []
    assert notebook.cloud.stop() == 0
    assert processes(str(data)) == []
    assert not pathlib.Path("/opt/ml/model").exists()


# Without a proxy the client is told the address, and a file says the bucket's name and the role, for which it would
# ask a host of Amazon's. Through the proxy it is told neither, and asks.
@pytest.mark.parametrize("line, flags, asked", [
    ("2.x", [], ()), ("2.x", ["--proxy-port", "0"], ("--proxy",)), ("2.24", ["--proxy-port", "0"], ("--proxy",)),
], ids=["last", "last-proxy", "2.24-proxy"])
def test_the_notebook(tmp_path, line, flags, asked):
    python = interpreter(line)
    notebook = Notebook(pathlib.Path(os.environ["BERTIE"]), tmp_path, *flags)
    try:
        environment = notebook.cloud.environment(*asked)
        if asked:
            environment.pop("SAGEMAKER_USER_CONFIG_OVERRIDE")
        else:
            environment["EXECUTION_ROLE"] = ROLE
        cells = notebook.run(python, environment)
        assert cells["version"].startswith(line.rstrip("x")), cells["version"]
        check(notebook, cells)
        check_nothing_is_left(notebook)
    finally:
        notebook.cloud.stop()
