"""What clients of `bertie cloud` see beside its main paths: endpoints' logs, tags, refusals in each service's form,
and what jobs' own programs are told of it."""

import json
import os
import re
import signal
import socket

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.exceptions  # noqa: E402

from test_cloud_endpoints import ROLE, Account, archive, eventually, failure  # noqa: E402
from test_cloud_s3 import ACCOUNT, REGION, Cloud  # noqa: E402

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
# It asks for S3 as any program would.
JOB = ('python3 -c "import os, sys, urllib.request; '
       "print(os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_DEFAULT_REGION'], "
       "'AWS_PROFILE' in os.environ); "
       "print(urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/models/note').read().decode())\"")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def account(bertie, root, tiny_model):
    account = Account(Cloud(bertie, root / "data", "--image", f"asks={JOB}", env={"AWS_PROFILE": "someone"}))
    account.upload("tiny.tar.gz", archive({name: (tiny_model / name).read_bytes() for name in (
        "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")}))
    account.upload("note", b"a note in S3")
    account.model("tiny", "s3://models/tiny.tar.gz")
    account.config("tiny", {"ModelName": "tiny"})
    yield account
    account.cloud.stop()


def tags(sagemaker, arn):
    return {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}


def log_lines(logs, group, stream):
    lines, token = [], {}
    while (page := logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token))["events"]:
        lines += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    return lines


def streams(logs, group):
    return [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]]


def test_an_endpoints_log(account, bertie, root):
    group = "/aws/sagemaker/Endpoints/told"
    logs = account.cloud.client("logs")
    assert failure(logs.describe_log_streams, logGroupName=group)["Error"]["Code"] == "ResourceNotFoundException"
    account.endpoint("told", "tiny")
    assert group in [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]
    (stream,) = streams(logs, group)
    assert re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}", stream)
    assert any("serving" in line for line in log_lines(logs, group, stream))

    # A server that is started again is the same instance still.
    (pid,) = account.children("serve", "/told/")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: sum("serving" in line for line in log_lines(logs, group, stream)) == 2)
    assert streams(logs, group) == [stream]

    account.delete("told")
    assert sum("serving" in line for line in log_lines(logs, group, stream)) == 2
    found = logs.filter_log_events(logGroupName=group, filterPattern="serving")["events"]
    assert {event["logStreamName"] for event in found} == {stream}
    # Another endpoint of the name writes beside it.
    account.endpoint("told", "tiny")
    assert len(streams(logs, group)) == 2 and stream in streams(logs, group)
    account.delete("told")
    assert failure(logs.describe_log_streams, logGroupName="/aws/sagemaker/Endpoints/..")["Error"]["Code"] == \
        "ResourceNotFoundException"


def test_tags_of_models_configurations_and_endpoints(account):
    sagemaker = account.sm
    given = [{"Key": "team", "Value": "words"}, {"Key": "empty", "Value": ""}]
    sagemaker.create_model(ModelName="Tagged", ExecutionRoleArn=ROLE, Tags=given, PrimaryContainer={
        "Image": "pytorch-inference", "ModelDataUrl": "s3://models/tiny.tar.gz"})
    sagemaker.create_endpoint_config(EndpointConfigName="tagged", Tags=given, ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": "Tagged", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sagemaker.create_endpoint(EndpointName="tagged", EndpointConfigName="tagged", Tags=given)
    kinds = ("model", "endpoint-config", "endpoint")
    for kind in kinds:
        assert tags(sagemaker, f"{ARN}:{kind}/tagged") == {"team": "words", "empty": ""}, kind
    arn = f"{ARN}:model/tagged"
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "other"}, {"Key": "more", "Value": "1"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["empty", "never"])
    assert tags(sagemaker, arn) == {"team": "other", "more": "1"}
    account.settled("tagged")
    account.delete("tagged")
    sagemaker.delete_endpoint_config(EndpointConfigName="tagged")
    sagemaker.delete_model(ModelName="Tagged")
    for kind in kinds:
        assert tags(sagemaker, f"{ARN}:{kind}/tagged") == {}, kind
    # Not the old ones for a new thing of the name.
    account.model("Tagged", "s3://models/tiny.tar.gz")
    assert tags(sagemaker, arn) == {}


@pytest.mark.parametrize("head, form", [
    ("POST / HTTP/1.1\r\nX-Amz-Target: SageMaker.ListModels\r\nContent-Type: application/x-amz-json-1.1", "json"),
    ("POST / HTTP/1.1\r\nX-Amz-Target: Logs_20140328.GetLogEvents", "json"),
    ("POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", "query"),
    ("POST /endpoints/e/invocations HTTP/1.1\r\nContent-Type: application/json", "runtime"),
    ("POST /bucket?delete HTTP/1.1", "s3"),
])
def test_a_refused_request_is_answered_in_its_services_form(account, head, form):
    with socket.create_connection(("127.0.0.1", account.cloud.port), timeout=20) as connection:
        connection.sendall(f"{head}\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    fields, body = answer.split(b"\r\n\r\n", 1)
    assert fields.startswith(b"HTTP/1.1 413 "), answer
    if form == "json":
        assert json.loads(body)["__type"] == "BodyTooLarge"
    elif form == "query":
        assert b"<ErrorResponse" in body and b"<Code>BodyTooLarge</Code>" in body
    elif form == "runtime":
        assert b"x-amzn-errortype:" in fields.lower() and json.loads(body)["Message"]
    else:
        assert body.startswith(b"<?xml") and b"<Error>" in body and b"x-amz-id-2:" in fields.lower()


def test_an_empty_body_is_continued_too(account):
    """botocore takes a final answer that comes instead for that of the connection's next request as well."""
    with socket.create_connection(("127.0.0.1", account.cloud.port), timeout=20) as connection:
        connection.sendall(b"PUT /models/empty HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                           b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), answer


def test_a_jobs_program_finds_the_cloud(account):
    account.sm.create_training_job(
        TrainingJobName="asks", RoleArn=ROLE, ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1,
                                                              "VolumeSizeInGB": 1},
        AlgorithmSpecification={"TrainingImage": "asks", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://models/out"}, StoppingCondition={"MaxRuntimeInSeconds": 60})
    eventually(lambda: account.sm.describe_training_job(TrainingJobName="asks")["TrainingJobStatus"] != "InProgress")
    group = "/aws/sagemaker/TrainingJobs"
    logs = account.cloud.client("logs")
    (stream,) = [one for one in streams(logs, group) if one.startswith("asks/")]
    assert log_lines(logs, group, stream)[-2:] == [f"local {REGION} False", "a note in S3"]


def test_an_accelerators_port_may_be_taken_when_it_comes_back(account):
    """By a program that listens there before it does: it goes elsewhere, and its server follows."""
    account.config("ei", {"ModelName": "tiny", "AcceleratorType": "ml.eia2.medium"})
    account.endpoint("moved", "ei")
    expected = account.invoke("moved")[0]
    (address,) = (account.cloud.data / "endpoints" / "moved").glob("*/AllTraffic/0/accelerator/address")
    port = int(address.read_text().rsplit(":", 1)[1])
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def stolen():
            for pid in account.children("accelerator", "--capacity"):
                os.kill(pid, signal.SIGKILL)
            try:
                thief.bind(("127.0.0.1", port))
                return True
            except OSError:
                return False

        eventually(stolen)
        thief.listen()

        def answers():
            try:
                return account.invoke("moved")[0] == expected
            except botocore.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "ServiceUnavailable"
                return False

        eventually(answers)
        assert int(address.read_text().rsplit(":", 1)[1]) != port
    account.delete("moved")
    assert not account.children()
