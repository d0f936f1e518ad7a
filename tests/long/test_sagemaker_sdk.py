"""SageMaker's own Python SDK (2.x) against `bertie cloud`: the notebook's `fit`."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("sagemaker")
TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "e2e"))

from test_cloud_jobs import BAD, GOOD, csv  # noqa: E402
from test_cloud_s3 import ACCOUNT, REGION, Cloud  # noqa: E402

# In a process of its own, as the SDK reads its environment when it is imported.
NOTEBOOK = """
import sagemaker
from sagemaker.pytorch import PyTorch

session = sagemaker.Session()
bucket = session.default_bucket()
assert bucket == "sagemaker-us-west-2-123456789012", bucket
train = session.upload_data("train.csv", bucket=bucket, key_prefix="sagemaker/DEMO-pytorch-bert")
test = session.upload_data("test.csv", bucket=bucket, key_prefix="sagemaker/DEMO-pytorch-bert")
estimator = PyTorch(entry_point="train_deploy.py", source_dir="code", role="ROLE", framework_version="1.3.1",
                    py_version="py3", instance_count=2, instance_type="ml.p3.2xlarge", disable_profiler=True,
                    hyperparameters={"epochs": 1, "num_labels": 2, "backend": "gloo"},
                    metric_definitions=[{"Name": "loss", "Regex": "Average training loss: ([0-9.]+)"}])
estimator.fit({"training": train, "testing": test})
print("MODEL", estimator.model_data)
print("STATUS", estimator.latest_training_job.describe()["FinalMetricDataList"])
again = PyTorch.attach(estimator.latest_training_job.name)
print("ATTACHED", again.model_data)
failing = PyTorch(entry_point="train_deploy.py", source_dir="code", role="ROLE", framework_version="1.3.1",
                  py_version="py3", instance_count=1, instance_type="ml.c5.xlarge",
                  hyperparameters={"no_such": 1})
try:
    failing.fit({"training": train})
except sagemaker.exceptions.UnexpectedStatusException as error:
    print("FAILED", error)
""".replace("ROLE", f"arn:aws:iam::{ACCOUNT}:role/LocalRole")


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(pathlib.Path(os.environ["BERTIE"]), tmp_path / "data",
                  env={"BERTIE_MODEL": str(TESTS / "golden" / "tiny")})
    yield cloud
    cloud.stop()


def test_the_notebooks_fit(cloud, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train_deploy.py").write_text("raise SystemExit('not run')\n")
    (tmp_path / "train.csv").write_text(csv((GOOD + BAD) * 4))
    (tmp_path / "test.csv").write_text(csv(GOOD + BAD))
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=tmp_path, text=True, timeout=300,
                          capture_output=True, env={**os.environ, **cloud.environment()})
    out = done.stdout + done.stderr
    assert done.returncode == 0, out
    assert re.search(r"MODEL s3://sagemaker-us-west-2-\d+/pytorch-training-\S+/output/model.tar.gz", out), out
    assert "Average training loss" in out and "Training seconds:" in out, out
    assert re.search(r"STATUS \[\{'MetricName': 'loss', 'Value': [0-9.]+", out), out
    assert "ATTACHED s3://" in out, out
    assert "FAILED" in out and "unknown hyperparameter no_such" in out, out
