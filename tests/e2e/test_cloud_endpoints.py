"""Models, endpoints and invocations of `bertie cloud`, as boto3 sees them."""

import concurrent.futures
import io
import json
import os
import pathlib
import signal
import tarfile
import threading
import time

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.config  # noqa: E402
import botocore.exceptions  # noqa: E402

from test_cloud_s3 import Cloud  # noqa: E402

ROLE = "arn:aws:iam::123456789012:role/LocalRole"
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/pytorch-inference:1.3.1-cpu-py3"
TEXT = json.dumps("Somebody just left - guess who.")


def archive(files):
    """A tar.gz of {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Account:
    """The clients of one cloud, with a bucket and models."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.s3, self.sm = cloud.client("s3"), cloud.client("sagemaker")
        self.runtime = cloud.client("sagemaker-runtime", read_timeout=80)

    @classmethod
    def start(cls, bertie, data, tiny_archive):
        """Of a new cloud, with the model "tiny"."""
        cloud = Cloud(bertie, data)
        assert cloud.port, cloud.log.read_text()
        account = cls(cloud)
        account.model("tiny", account.upload("tiny.tar.gz", tiny_archive))
        return account

    def upload(self, key, data):
        try:
            self.s3.create_bucket(Bucket="models",
                                  CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        except self.s3.exceptions.BucketAlreadyOwnedByYou:
            pass
        self.s3.upload_fileobj(io.BytesIO(data), "models", key)
        return f"s3://models/{key}"

    def model(self, name, url, environment=None):
        return self.sm.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": IMAGE, "ModelDataUrl": url, "Environment": environment or {}})

    def config(self, name, *variants):
        return self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
             **variant} for variant in variants])

    def status(self, name):
        return self.sm.describe_endpoint(EndpointName=name)["EndpointStatus"]

    def settled(self, name, wait=30):
        """The description once nothing is under way any more."""
        end = time.monotonic() + wait
        while time.monotonic() < end:
            description = self.sm.describe_endpoint(EndpointName=name)
            if description["EndpointStatus"] in ("InService", "Failed"):
                return description
            time.sleep(0.01)
        raise AssertionError(f"{description}\n{self.cloud.log.read_text()}")

    def endpoint(self, name, config):
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=config)
        description = self.settled(name)
        assert description["EndpointStatus"] == "InService", description
        return description

    def invoke(self, name, body=TEXT, **keywords):
        answer = self.runtime.invoke_endpoint(EndpointName=name, ContentType="application/json",
                                              Body=body, **keywords)
        return json.loads(answer["Body"].read()), answer

    def delete(self, name):
        self.sm.delete_endpoint(EndpointName=name)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                assert self.status(name) == "Deleting"
            except botocore.exceptions.ClientError as error:
                assert "Could not find endpoint" in str(error)
                return
            time.sleep(0.01)
        raise AssertionError(self.cloud.log.read_text())

    def children(self, *words):
        """Process ids of this cloud's programs whose command lines hold the words."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.cloud.process.pid:
                continue
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
            except OSError:
                continue
            # Keepers are copies of the cloud, with its command line.
            if str(self.cloud.data / "endpoints") in line and all(word in line for word in words):
                found.append(int(entry.name))
        return found


def eventually(condition, wait=30):
    end = time.monotonic() + wait
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    assert condition()


def failure(function, *arguments, **keywords):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        function(*arguments, **keywords)
    return raised.value.response


def code(function, *arguments, **keywords):
    error = failure(function, *arguments, **keywords)["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def tiny_archive(tiny_model):
    return archive({name: (tiny_model / name).read_bytes()
                    for name in ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("endpoints")


@pytest.fixture(scope="module")
def account(bertie, root, tiny_archive):
    account = Account.start(bertie, root / "shared", tiny_archive)
    account.model("empty", account.upload("empty.tar.gz", archive({"readme": b"no model"})))
    account.config("tiny", {"ModelName": "tiny"})
    account.config("empty", {"ModelName": "empty"})
    yield account
    # Its end is a test too: nothing is left.
    assert account.cloud.stop() == 0, account.cloud.log.read_text()
    assert not account.children()


def test_an_endpoint_from_its_creation_to_its_end(account):
    sm, name = account.sm, "life"
    made = sm.create_endpoint(EndpointName=name, EndpointConfigName="tiny", Tags=[])
    assert made["EndpointArn"] == "arn:aws:sagemaker:us-west-2:123456789012:endpoint/life"
    description = account.settled(name)
    assert description["EndpointStatus"] == "InService"
    assert description["EndpointConfigName"] == "tiny"
    variant = description["ProductionVariants"][0]
    assert (variant["VariantName"], variant["CurrentWeight"], variant["CurrentInstanceCount"]) == \
        ("AllTraffic", 1, 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE

    logits, answer = account.invoke(name)
    assert len(logits) == 1 and len(logits[0]) == 3
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"].startswith("application/json")
    logits, _ = account.invoke(name, json.dumps(["a", "b", "c"]), TargetVariant="AllTraffic")
    assert len(logits) == 3
    answer = account.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept="text/csv",
                                             Body=b"one text\nanother\n")
    assert answer["ContentType"].startswith("text/csv")
    assert len(answer["Body"].read().decode().splitlines()) == 2

    error = failure(account.invoke, name, "{")
    assert error["Error"]["Code"] == "ModelError" and error["OriginalStatusCode"] == 400
    assert "InvalidJson" in error["OriginalMessage"]
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert code(account.invoke, name, TargetVariant="Other")[0] == "ValidationError"
    assert code(account.invoke, name, TargetModel="m.tar.gz")[0] == "ValidationError"
    assert failure(account.invoke, name, json.dumps("x" * (7 << 20)))["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert code(account.invoke, "nobody") == \
        ("ValidationError", "Endpoint nobody of account 123456789012 not found.")

    assert [e["EndpointName"] for e in sm.list_endpoints(NameContains="lif")["Endpoints"]] == [name]
    assert "Cannot create already existing" in code(
        sm.create_endpoint, EndpointName=name, EndpointConfigName="empty")[1]
    assert account.children("serve")
    account.delete(name)
    assert not account.children()
    assert not (account.cloud.data / "endpoints" / name).exists()
    assert code(account.invoke, name)[0] == "ValidationError"


def test_models_and_configurations(account):
    sm = account.sm
    model = sm.describe_model(ModelName="tiny")
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/tiny.tar.gz"
    assert model["ModelArn"].endswith(":model/tiny") and model["ExecutionRoleArn"] == ROLE
    assert abs(model["CreationTime"].timestamp() - time.time()) < 300
    config = sm.describe_endpoint_config(EndpointConfigName="tiny")
    assert config["ProductionVariants"][0]["ModelName"] == "tiny"

    # A client that did not get the answer asks again; another request of that name is none of its.
    account.model("again", "s3://models/tiny.tar.gz")
    account.model("again", "s3://models/tiny.tar.gz")
    taken = code(account.model, "again", "s3://models/empty.tar.gz")
    assert taken[0] == "ValidationException" and "Cannot create already existing model" in taken[1]
    names = {m["ModelName"] for page in sm.get_paginator("list_models").paginate(MaxResults=1)
             for m in page["Models"]}
    assert names == {"tiny", "empty", "again"}
    sm.delete_model(ModelName="again")

    for function, keywords, words in [
            (sm.describe_model, {"ModelName": "again"}, 'Could not find model "arn:'),
            (sm.delete_model, {"ModelName": "again"}, "Could not find model"),
            (sm.describe_endpoint_config, {"EndpointConfigName": "x"}, "Could not find endpoint configuration"),
            (sm.describe_endpoint, {"EndpointName": "x"}, 'Could not find endpoint "arn:'),
            (sm.delete_endpoint, {"EndpointName": "x"}, "Could not find endpoint"),
            (sm.create_endpoint, {"EndpointName": "x", "EndpointConfigName": "x"},
             "Could not find endpoint configuration"),
            (account.model, {"name": "x", "url": "s3://models/none"}, "Could not find model data at s3://models/none"),
            (sm.list_endpoints, {"NextToken": "?"}, "nextToken"),
    ]:
        found = code(function, **keywords)
        assert found[0] == "ValidationException" and words in found[1], found
    bad = code(account.config, "bad", {"ModelName": "tiny", "AcceleratorType": "ml.eia9.huge"})
    assert bad[0] == "ValidationException" and "acceleratorType" in bad[1]
    unknown = code(sm.list_processing_jobs)
    assert unknown[0] == "UnknownOperationException" and "ListProcessingJobs" in unknown[1]


def test_no_request_is_lost_in_an_update(account):
    account.config("two", {"ModelName": "tiny", "VariantName": "Green", "InitialInstanceCount": 2})
    account.endpoint("update", "tiny")
    before = set(account.children("serve"))
    stop = threading.Event()

    def hammer():
        seen = []
        client = account.cloud.client("sagemaker-runtime")  # no retries
        while not stop.is_set():
            answer = client.invoke_endpoint(EndpointName="update", ContentType="application/json", Body=TEXT)
            assert len(json.loads(answer["Body"].read())) == 1
            seen.append(answer["InvokedProductionVariant"])
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(hammer) for _ in range(4)]
        try:
            for config in ("two", "tiny", "two"):
                account.sm.update_endpoint(EndpointName="update", EndpointConfigName=config)
                assert account.settled("update")["EndpointConfigName"] == config
            # A configuration that cannot serve: the old one goes on, and says why.
            account.sm.update_endpoint(EndpointName="update", EndpointConfigName="empty")
            description = account.settled("update")
            assert description["EndpointConfigName"] == "two"
            assert description["FailureReason"].startswith("ClientError: s3://models/empty.tar.gz")
            eventually(lambda: len(account.children("serve")) == 2)
        finally:
            stop.set()
        seen = [variant for future in running for variant in future.result()]
    assert {"AllTraffic", "Green"} == set(seen)
    assert not before & set(account.children("serve"))
    account.delete("update")
    assert not account.children()


def test_weights_and_counts(account):
    account.config("ab", {"ModelName": "tiny", "VariantName": "A"},
                   {"ModelName": "tiny", "VariantName": "B", "InitialVariantWeight": 0})
    account.endpoint("ab", "ab")
    assert {account.invoke("ab")[1]["InvokedProductionVariant"] for _ in range(10)} == {"A"}
    assert account.invoke("ab", TargetVariant="B")[1]["InvokedProductionVariant"] == "B"
    account.sm.update_endpoint_weights_and_capacities(EndpointName="ab", DesiredWeightsAndCapacities=[
        {"VariantName": "A", "DesiredWeight": 0}, {"VariantName": "B", "DesiredWeight": 2, "DesiredInstanceCount": 2}])
    variants = account.settled("ab")["ProductionVariants"]
    assert [(v["CurrentWeight"], v["CurrentInstanceCount"]) for v in variants] == [(0, 1), (2, 2)]
    assert {account.invoke("ab")[1]["InvokedProductionVariant"] for _ in range(10)} == {"B"}
    account.sm.update_endpoint_weights_and_capacities(EndpointName="ab", DesiredWeightsAndCapacities=[
        {"VariantName": "B", "DesiredInstanceCount": 1}])
    account.settled("ab")
    eventually(lambda: len(account.children("serve")) == 2)
    account.delete("ab")


def test_what_cannot_serve_says_why(account):
    account.sm.create_endpoint(EndpointName="failed", EndpointConfigName="empty")
    description = account.settled("failed")
    assert description["EndpointStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: s3://models/empty.tar.gz"), description
    assert code(account.invoke, "failed")[0] == "ValidationError"
    account.delete("failed")
    assert not account.children()


def test_a_server_that_is_killed_is_started_again(account):
    account.endpoint("crash", "tiny")
    account.cloud.client("sts").get_caller_identity()
    for pid in account.children("serve"):
        os.kill(pid, signal.SIGKILL)

    def answers():
        try:
            return len(account.invoke("crash")[0]) == 1
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable"
            return False

    eventually(answers)
    assert account.status("crash") == "InService"
    account.delete("crash")


def test_an_accelerator_computes_for_its_variant(account):
    account.config("ei", {"ModelName": "tiny", "AcceleratorType": "ml.eia2.medium"})
    account.endpoint("plain", "tiny")
    account.endpoint("ei", "ei")
    assert len(account.children("accelerator", "--capacity", "eia2.medium")) == 1
    assert account.invoke("ei")[0] == account.invoke("plain")[0]
    for pid in account.children("accelerator", "--capacity"):
        os.kill(pid, signal.SIGKILL)

    def answers():
        try:
            return account.invoke("ei")[0] == account.invoke("plain")[0]
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable"
            return False

    eventually(answers)
    account.delete("plain")
    account.delete("ei")
    assert not account.children()


def test_a_killed_cloud_finds_its_endpoints_again(bertie, root, tiny_archive):
    cloud = Cloud(bertie, root / "killed")
    account = Account(cloud)
    account.model("tiny", account.upload("tiny.tar.gz", tiny_archive))
    account.config("tiny", {"ModelName": "tiny"})
    account.endpoint("lives", "tiny")
    kept = account.children("serve")
    account.endpoint("dies", "tiny")
    expected = account.invoke("lives")[0]
    account.sm.delete_endpoint_config(EndpointConfigName="tiny")
    account.sm.delete_model(ModelName="tiny")
    account.s3.delete_object(Bucket="models", Key="tiny.tar.gz")
    cloud.stop(signal.SIGKILL)
    for pid in account.children("serve", "dies"):
        os.kill(pid, signal.SIGKILL)

    cloud = Cloud(bertie, root / "killed")
    account = Account(cloud)
    for name in ("lives", "dies"):
        def answers():
            try:
                return account.invoke(name)[0] == expected
            except botocore.exceptions.ClientError:
                return False

        eventually(answers)
        assert account.status(name) == "InService"
    assert set(kept) <= set(account.children("serve"))
    log = cloud.log.read_text()
    assert f"endpoint lives: AllTraffic/0 adopted, process {kept[0]}" in log
    assert "endpoint dies: AllTraffic/0 started again" in log
    assert cloud.stop() == 0
    assert not account.children()
