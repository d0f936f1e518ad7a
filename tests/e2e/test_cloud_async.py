"""Asynchronous inference of `bertie cloud`, as boto3 sees it."""

import io
import json
import os
import signal
import sqlite3

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.exceptions  # noqa: E402

from test_cloud_endpoints import Account, code, eventually, tiny_archive  # noqa: E402, F401
from test_cloud_s3 import Cloud  # noqa: E402

OUTPUT, FAILURES = "s3://models/answers/of/e", "s3://models/failures/"


class AsyncAccount(Account):
    def async_config(self, name, model="tiny", concurrent=2, **output):
        return self.sm.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.m5.large",
                                 "InitialInstanceCount": 1}],
            AsyncInferenceConfig={
                "ClientConfig": {"MaxConcurrentInvocationsPerInstance": concurrent},
                "OutputConfig": output or {"S3OutputPath": OUTPUT, "S3FailurePath": FAILURES}})

    def ask(self, name, key, data=None, **keywords):
        if data is not None:
            self.s3.put_object(Bucket="models", Key=key, Body=data)
        keywords.setdefault("ContentType", "application/json")
        return self.runtime.invoke_endpoint_async(EndpointName=name, InputLocation=f"s3://models/{key}", **keywords)

    def find(self, location):
        """The object's bytes, or None."""
        bucket, key = location.removeprefix("s3://").split("/", 1)
        try:
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None

    def answer(self, asked):
        eventually(lambda: self.find(asked["OutputLocation"]) is not None)
        return json.loads(self.find(asked["OutputLocation"]))

    def fault(self, asked):
        eventually(lambda: self.find(asked["FailureLocation"]) is not None)
        assert self.find(asked["OutputLocation"]) is None
        return json.loads(self.find(asked["FailureLocation"]))["Message"]

    def keys(self, prefix):
        listing = self.s3.list_objects_v2(Bucket="models", Prefix=prefix)
        return {entry["Key"]: entry["LastModified"] for entry in listing.get("Contents", [])}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("async")


@pytest.fixture(scope="module")
def account(bertie, root, tiny_archive):
    account = AsyncAccount.start(bertie, root / "shared", tiny_archive)
    account.async_config("async")
    account.config("plain", {"ModelName": "tiny"})
    account.endpoint("e", "async")
    account.endpoint("plain", "plain")
    yield account
    assert account.cloud.stop() == 0, account.cloud.log.read_text()
    assert not account.children()


def test_an_answer_comes_as_an_object(account):
    asked = account.ask("e", "in/one.json", json.dumps(["a text", "another"]), InferenceId="mine")
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert asked["InferenceId"] == "mine"
    assert asked["OutputLocation"].startswith(OUTPUT + "/") and asked["OutputLocation"].endswith(".out")
    assert asked["FailureLocation"].startswith(FAILURES) and asked["FailureLocation"].endswith("-error.out")
    logits = account.answer(asked)
    assert logits == account.invoke("plain", json.dumps(["a text", "another"]))[0]
    # The content type is the model's.
    key = asked["OutputLocation"].removeprefix("s3://models/")
    assert account.s3.head_object(Bucket="models", Key=key)["ContentType"].startswith("application/json")
    asked = account.ask("e", "in/one.json", Accept="text/csv")
    assert asked["InferenceId"] and asked["InferenceId"] != "mine"
    eventually(lambda: account.find(asked["OutputLocation"]) is not None)
    assert len(account.find(asked["OutputLocation"]).decode().splitlines()) == 2

    body = account.runtime.invoke_endpoint_async(EndpointName="e", Body=b'"inline"', ContentType="application/json",
                                                 S3OutputPathExtension="sub/folder", Filename="x.json")
    assert body["OutputLocation"] == OUTPUT + "/sub/folder/x.json"
    assert len(account.answer(body)) == 1


def test_a_large_input_is_no_invocation_of_6_mb(account):
    # In parts, so that the object is several megabytes of file.
    texts = ["word " * 200] * 8000
    data = json.dumps(texts).encode()
    assert len(data) > 7 << 20
    account.s3.upload_fileobj(io.BytesIO(data), "models", "in/large.json")
    assert len(account.answer(account.ask("e", "in/large.json"))) == len(texts)


def test_what_goes_wrong_is_an_object_too(account):
    asked = account.ask("e", "in/bad.json", b"{")
    assert account.fault(asked).startswith("Received client error (400) from primary with message")
    asked = account.ask("e", "in/not-there")
    assert "s3://models/in/not-there: " in account.fault(asked)
    # A bucket for the output that is not there.
    account.async_config("nowhere", S3OutputPath="s3://no-such-bucket/x", S3FailurePath=FAILURES)
    account.endpoint("nowhere", "nowhere")
    asked = account.ask("nowhere", "in/one.json", b'"text"')
    eventually(lambda: account.find(asked["FailureLocation"]) is not None)
    assert "s3://no-such-bucket/x/" in account.find(asked["FailureLocation"]).decode()
    account.delete("nowhere")


def test_what_is_refused_at_once(account):
    runtime = account.cloud.client("sagemaker-runtime", parameter_validation=False)

    def asked(endpoint="e", **keywords):
        return code(runtime.invoke_endpoint_async, EndpointName=endpoint, **keywords)

    assert asked("nobody", InputLocation="s3://a/b") == \
        ("ValidationError", "Endpoint nobody of account 123456789012 not found.")
    refused = asked("plain", InputLocation="s3://a/b")
    assert refused[0] == "ValidationError" and "AsyncInferenceConfig" in refused[1]
    assert "exactly one of InputLocation" in asked()[1]
    assert "exactly one of InputLocation" in asked(InputLocation="s3://a/b", Body=b"{}")[1]
    assert "InputLocation" in asked(InputLocation="s3://bucket")[1]
    for keywords, words in [({"RequestTTLSeconds": 59}, "RequestTTLSeconds: found '59'"),
                            ({"InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds: found '3601'")]:
        refused = asked(InputLocation="s3://a/b", **keywords)
        assert refused[0] == "ValidationError" and words in refused[1], refused
    refused = code(account.invoke, "e")
    assert refused[0] == "ValidationError" and "InvokeEndpointAsync" in refused[1]

    description = account.sm.describe_endpoint(EndpointName="e")
    assert description["AsyncInferenceConfig"]["ClientConfig"]["MaxConcurrentInvocationsPerInstance"] == 2
    refused = code(account.async_config, "topics", S3OutputPath=OUTPUT,
                   NotificationConfig={"SuccessTopic": "arn:aws:sns:us-west-2:123456789012:t"})
    assert refused[0] == "ValidationException" and "notificationConfig" in refused[1]
    for output in ({"S3FailurePath": FAILURES}, {"S3OutputPath": "https://x"}):
        refused = code(account.async_config, "bad", **output)
        assert refused[0] == "ValidationException" and "s3OutputPath" in refused[1]


def test_requests_of_an_endpoint_that_goes_are_answered(account):
    account.async_config("one", concurrent=1)
    account.endpoint("goes", "one")
    for pid in account.children("serve", "goes"):
        os.kill(pid, signal.SIGSTOP)  # so that they wait
    asked = [account.ask("goes", "in/one.json", b'"text"') for _ in range(5)]
    account.sm.delete_endpoint(EndpointName="goes")
    for one in asked[1:]:
        assert account.fault(one) == "the endpoint was deleted before the request was answered"
    for pid in account.children("serve", "goes"):
        os.kill(pid, signal.SIGCONT)
    assert len(account.answer(asked[0])) == 1


def test_a_killed_cloud_answers_each_request_once(bertie, root, tiny_archive):
    account = AsyncAccount.start(bertie, root / "killed", tiny_archive)
    account.async_config("async")
    account.endpoint("e", "async")
    account.endpoint("late", "async")
    for pid in account.children("serve"):
        os.kill(pid, signal.SIGSTOP)
    late = [account.ask("late", "in/late.json", b'"text"', RequestTTLSeconds=60) for _ in range(3)]
    asked = [account.ask("e", f"in/{n}.json", json.dumps([f"text {n}"] * (n + 1))) for n in range(40)]
    for pid in account.children("serve", "/e/"):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: account.keys("answers/"))  # some of them
    account.cloud.stop(signal.SIGKILL)
    for pid in account.children("serve", "/late/"):
        os.kill(pid, signal.SIGKILL)
    # The shortest time to live is a minute: what is kept is made older.
    with sqlite3.connect(root / "killed" / "state.db") as state:
        state.execute("UPDATE async_requests SET expires = 1 WHERE endpoint = CAST('late' AS BLOB)")

    account = AsyncAccount(Cloud(bertie, root / "killed"))
    before = account.keys("answers/")
    assert before
    for one in late:
        assert account.fault(one) == "the request expired before it was processed"
    for n, one in enumerate(asked):
        assert len(account.answer(one)) == n + 1
    after = account.keys("answers/")
    assert len(after) == len(asked) and len(account.keys("failures/")) == len(late)
    # What was there is not written again, not even by the run after.
    assert all(after[key] == written for key, written in before.items())
    assert account.cloud.stop() == 0
    account = AsyncAccount(Cloud(bertie, root / "killed"))
    account.answer(account.ask("e", "in/0.json"))
    assert all(account.keys("answers/")[key] == written for key, written in after.items())
    assert account.cloud.stop() == 0
    assert not account.children()


def test_a_server_that_is_killed_is_asked_again(account):
    account.endpoint("crash", "async")
    for pid in account.children("serve", "crash"):
        os.kill(pid, signal.SIGSTOP)
    asked = [account.ask("crash", "in/one.json", b'"text"') for _ in range(4)]
    for pid in account.children("serve", "crash"):
        os.kill(pid, signal.SIGKILL)
    for one in asked:
        assert len(account.answer(one)) == 1
    account.delete("crash")
