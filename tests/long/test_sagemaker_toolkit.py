"""What the real SageMaker training toolkit makes of a container's tree, given to bertie as variables.

The toolkit reads /opt/ml and exports SM_*; a job that it starts and one that reads the tree by itself
must be the same.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("sagemaker_training")

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
from test_sagemaker_container import NOTEBOOK, Container  # noqa: E402

EXPORT = """
import json
from sagemaker_training import environment
env = environment.Environment()
print(json.dumps({"variables": env.to_env_vars(), "hyperparameters": dict(env.hyperparameters)}))
"""


def test_the_toolkits_variables_mean_what_the_files_mean(tmp_path):
    bertie = pathlib.Path(os.environ["BERTIE"]).resolve()
    files = Container(tmp_path / "files", bertie, TESTS / "golden" / "tiny")
    files.hyperparameters(**NOTEBOOK, lr="1e-3", batch_size="8")
    toolkit = subprocess.run([sys.executable, "-c", EXPORT], capture_output=True, text=True, check=True,
                             env=os.environ | files.environment)
    told = json.loads(toolkit.stdout.splitlines()[-1])
    assert told["hyperparameters"] == {"epochs": 1, "num_labels": 2, "backend": "gloo", "lr": 1e-3,
                                       "batch_size": 8}

    done = files.run()
    assert done.returncode == 0, done.stderr
    (start,) = files.history("start")
    for key in ("epochs", "lr", "batch_size"):
        assert start[key] == told["hyperparameters"][key]

    variables = {name: value for name, value in told["variables"].items()
                 if name.startswith("SM_") and not name.endswith("_DIR")}
    bare = Container(tmp_path / "variables", bertie, TESTS / "golden" / "tiny")
    for file in bare.config.iterdir():
        file.unlink()
    done = bare.run(SAGEMAKER_PROGRAM="train_deploy.py", **variables)
    assert done.returncode == 0, done.stderr
    assert (bare.model / "model.safetensors").read_bytes() == (files.model / "model.safetensors").read_bytes()
