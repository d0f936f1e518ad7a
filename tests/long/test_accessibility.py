"""axe-core's rules on both pages, in a real Chromium. axe-core comes from npm's registry (BERTIE_AXE names
an axe.min.js that is there already)."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from conftest import bertie, chromium, open_tab, run, serve, tiny_model  # noqa: E402, F401
from test_console import Account  # noqa: E402

AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The text of axe-core."""
    if named := os.environ.get("BERTIE_AXE"):
        return pathlib.Path(named).read_text()
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"npm cannot get {AXE}: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as tar:
        return tar.extractfile("package/axe.min.js").read().decode()


def violations(tab, axe):
    """As text, one a line: the rule, and the nodes that break it."""
    tab.evaluate(axe)
    found = tab.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})")
    return "\n".join(f"{one['id']}: {[node['target'] for node in one['nodes']]} {one['nodes'][0]['failureSummary']}"
                     for one in found["violations"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_playground(serve, tiny_model, open_tab, axe, scheme):  # noqa: F811
    server = serve(tiny_model)
    tab = open_tab(f"http://127.0.0.1:{server.port}", color_scheme=scheme)
    tab.sees("#status", "Ready")
    assert violations(tab, axe) == ""
    tab.fill("#text", "a film " * 60)
    tab.click("#pair-toggle")
    tab.fill("#pair", "another")
    tab.click("#classify")
    tab.sees("#best", "LABEL_")
    tab.wait_for_timeout(2500)  # charts
    assert violations(tab, axe) == ""


@pytest.fixture(scope="module")
def account(bertie, tmp_path_factory, tiny_model):  # noqa: F811
    account = Account(bertie, tmp_path_factory.mktemp("console") / "data", tiny_model)
    account.in_service()
    yield account
    account.sm.stop_training_job(TrainingJobName="curve")
    account.sm.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="curve", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    account.cloud.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_console(account, open_tab, axe, scheme):  # noqa: F811
    tab = open_tab(account.cloud.url, color_scheme=scheme)
    for part in ("", "jobs", "jobs/curve", "endpoints", "endpoints/try-me", "models", "models/tiny", "buckets", "buckets/bkt/",
                 "buckets/bkt/many/", "jobs/none"):
        tab.goto(f"/#/{part}")
        tab.sees("#status", "Connected")
        tab.wait_for_timeout(2500 if "/" in part else 700)
        assert violations(tab, axe) == "", part
    tab.goto("/#/models/tiny")
    tab.click("button:has-text('Delete')")
    tab.sees("#confirm-text", "Endpoints that run keep it")
    assert violations(tab, axe) == ""
