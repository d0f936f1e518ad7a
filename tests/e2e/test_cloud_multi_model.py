"""Endpoints of several models of `bertie cloud`, as boto3 sees them."""

import concurrent.futures
import json
import os
import signal
import urllib.request

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.exceptions  # noqa: E402

from test_cloud_endpoints import IMAGE, ROLE, TEXT, Account, archive, code, eventually, failure  # noqa: E402
from test_cloud_s3 import Cloud  # noqa: E402


class MultiAccount(Account):
    def several(self, name, environment=None, url="s3://models/many"):
        return self.sm.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": url, "Environment": environment or {}})

    def labels(self, endpoint, target):
        """The name of the label that a target's model is sure of: each archive here has its own."""
        found, _ = self.invoke(endpoint, json.dumps({"inputs": "a text"}), TargetModel=target)
        return found[0]["label"].rsplit("-", 1)[0]


def variant_of(tiny_model, name):
    """The tiny model with labels that tell it from others."""
    config = json.loads((tiny_model / "config.json").read_text())
    config["id2label"] = {str(i): f"{name}-{i}" for i in range(3)}
    config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    files = {file: (tiny_model / file).read_bytes()
             for file in ("model.safetensors", "tokenizer_config.json", "vocab.txt")}
    return archive({"config.json": json.dumps(config).encode(), **files})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def account(bertie, root, tiny_model):
    cloud = Cloud(bertie, root / "shared")
    assert cloud.port, cloud.log.read_text()
    account = MultiAccount(cloud)
    for name in ("one", "two", "sub/three"):
        account.upload(f"many/{name}.tar.gz", variant_of(tiny_model, name.replace("/", "_")))
    account.upload("many/empty.tar.gz", archive({"readme": b"no model"}))
    account.several("several")
    account.config("several", {"ModelName": "several"})
    account.endpoint("several", "several")
    yield account
    assert cloud.stop() == 0, cloud.log.read_text()
    assert not account.children()


def test_each_target_has_its_own_model(account):
    assert account.labels("several", "one.tar.gz") == "one"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        targets = ["two.tar.gz", "sub/three.tar.gz", "one.tar.gz", "two.tar.gz"] * 4
        found = list(pool.map(lambda target: account.labels("several", target), targets))
    assert found == ["two", "sub_three", "one", "two"] * 4
    # Loaded once each, by one server.
    log = next((account.cloud.data / "logs" / "endpoints" / "several" / "AllTraffic").iterdir()).read_text()
    assert len(account.children("serve")) == 1 and "error" not in log.lower()


def test_what_is_asked_in_the_wrong_way(account):
    missing = code(account.invoke, "several", TEXT, TargetModel="none.tar.gz")
    assert missing[0] == "ValidationError" and "bucket: models, key: many/none.tar.gz" in missing[1], missing
    assert code(account.invoke, "several", TEXT)[0] == "ValidationError"
    bad = failure(account.invoke, "several", TEXT, TargetModel="empty.tar.gz")
    assert bad["Error"]["Code"] == "ModelError" and bad["OriginalStatusCode"] == 400, bad
    account.model("single", "s3://models/many/one.tar.gz")
    account.config("single", {"ModelName": "single"})
    account.endpoint("single", "single")
    assert code(account.invoke, "single", TEXT, TargetModel="one.tar.gz")[0] == "ValidationError"
    account.delete("single")

    refused = code(account.several, "bad", url="s3://models")
    assert refused[0] == "ValidationException" and "modelDataUrl" in refused[1]
    account.config("accelerated", {"ModelName": "several", "AcceleratorType": "ml.eia2.medium"})
    refused = code(account.sm.create_endpoint, EndpointName="x", EndpointConfigName="accelerated")
    assert refused[0] == "ValidationException" and "MultiModel" in refused[1]
    refused = code(account.sm.create_transform_job, TransformJobName="t", ModelName="several",
                   TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p"}}},
                   TransformOutput={"S3OutputPath": "s3://b/o"},
                   TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1})
    assert refused[0] == "ValidationException" and "MultiModel" in refused[1]


def test_a_changed_object_counts_once_the_model_is_loaded_anew(account, tiny_model):
    account.upload("many/changes.tar.gz", variant_of(tiny_model, "old"))
    assert account.labels("several", "changes.tar.gz") == "old"
    account.upload("many/changes.tar.gz", variant_of(tiny_model, "new"))
    assert account.labels("several", "changes.tar.gz") == "old"
    account.s3.delete_object(Bucket="models", Key="many/two.tar.gz")
    assert account.labels("several", "two.tar.gz") == "two"
    account.upload("many/two.tar.gz", variant_of(tiny_model, "two"))
    # A server that is started again has none loaded.
    for pid in account.children("serve"):
        os.kill(pid, signal.SIGKILL)

    def answers():
        try:
            return account.labels("several", "changes.tar.gz") == "new"
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable"
            return False

    eventually(answers)


def test_the_least_recently_used_makes_room(account, tiny_model):
    """A megabyte holds some of the models, of 90 kB each."""
    account.several("small", {"BERTIE_MAX_MODELS_MB": "1"})
    account.config("small", {"ModelName": "small"})
    account.endpoint("small", "small")
    names = [f"m{n}" for n in range(16)]
    for name in names:
        account.upload(f"many/{name}.tar.gz", variant_of(tiny_model, name))
    for _ in range(2):
        assert [account.labels("small", f"{name}.tar.gz") for name in names] == names
    address = next((account.cloud.data / "endpoints" / "small").glob("*/AllTraffic/0/serve/address")).read_text()
    with urllib.request.urlopen(f"http://{address.strip()}/models") as answer:
        loaded = [model["modelName"].split(".")[0] for model in json.load(answer)["models"]]
    assert 2 < len(loaded) < len(names)
    assert set(loaded) == set(names[-len(loaded):])
    account.delete("small")


def test_a_killed_cloud_finds_the_models_loaded(bertie, root, tiny_model):
    account = MultiAccount(Cloud(bertie, root / "killed"))
    account.upload("many/one.tar.gz", variant_of(tiny_model, "one"))
    account.several("several")
    account.config("several", {"ModelName": "several"})
    account.endpoint("several", "several")
    assert account.labels("several", "one.tar.gz") == "one"
    account.cloud.stop(signal.SIGKILL)
    account = MultiAccount(Cloud(bertie, root / "killed"))

    def answers():
        try:
            return account.labels("several", "one.tar.gz") == "one"
        except botocore.exceptions.ClientError:
            return False

    eventually(answers)
    account.upload("many/two.tar.gz", variant_of(tiny_model, "two"))
    assert account.labels("several", "two.tar.gz") == "two"
    assert account.cloud.stop() == 0
    assert not account.children()
