"""The documentation's pages for pytest: which there are, and how one is read."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from page import read_page

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def page_of(name):
    return read_page((ROOT / name).read_text(encoding="utf-8"))


def left_out():
    """What the pages mark as nothing for a test: ("PAGE:LINE first line", reason)."""
    return [pytest.param(f"{name}:{step.line}", step.text, id=f"{name}:{step.line}: {step.shown[0].strip()[:60]}")
            for name in PAGES for step in page_of(name).steps if step.kind == "skip"]


def classifier_of(bertie, minilm, folder):
    """A model trained for a moment, with the labels negative and positive."""
    script = f". {HERE / 'setup.sh'}; sentences rows.csv 64; exec '{bertie}' train rows.csv --model '{minilm}' " \
             "--epochs 2 --lr 5e-4 --keep 0 --out model --no-report --no-tensorboard"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "model"


def _own_namespace():
    """The command's beginning that gives a process a network and process numbers of its own, where that can be."""
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for more in ([], ["--user", "--map-root-user"]):
        if shutil.which("unshare") and subprocess.run([*command, *more, "true"], capture_output=True).returncode == 0:
            return [*command, *more]
    return []


def read(name, bertie, minilm, classifier, folder, limit=900):
    """Takes the page's steps; fails with what went wrong at which line."""
    apart = _own_namespace()
    variables = os.environ | {"BERTIE": str(bertie), "BERTIE_MINILM": str(minilm), "PAGE_CLASSIFIER": str(classifier),
                              "PAGE_NAMESPACE": "own" if apart else "shared"}
    done = subprocess.run([*apart, sys.executable, HERE / "run_page.py", ROOT / name, folder / "reader"],
                          env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
