"""/metrics as Prometheus' own checker reads it (promtool, of Debian's package prometheus)."""

import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
from conftest import bertie, serve, tiny_model  # noqa: E402, F401


def test_promtool_has_nothing_to_say(serve, tiny_model):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    server = serve(f"a={tiny_model}", f"b={tiny_model}")
    server.invoke(["the sea", "it"])
    server.invoke(7)
    page = server.request("GET", "/metrics").body
    result = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr
