"""Batch transform of `bertie cloud`, as boto3 sees it."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

boto3 = pytest.importorskip("boto3")

from test_cloud_endpoints import Account, archive, code, eventually, tiny_archive  # noqa: E402, F401
from test_cloud_s3 import Cloud  # noqa: E402

TEXTS = [f"text number {n}, and some more" for n in range(30)]


class TransformAccount(Account):
    def put(self, key, data):
        self.s3.put_object(Bucket="models", Key=key, Body=data)

    def transform(self, name, uri, content_type, split=None, accept=None, assemble=None, compression=None,
                  source="S3Prefix", instances=1, model="tiny", **more):
        given = {"ContentType": content_type, "SplitType": split, "CompressionType": compression}
        output = {"S3OutputPath": f"s3://models/out/{name}", "Accept": accept, "AssembleWith": assemble}
        return self.sm.create_transform_job(
            TransformJobName=name, ModelName=model,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": source, "S3Uri": uri}},
                            **{k: v for k, v in given.items() if v}},
            TransformOutput={k: v for k, v in output.items() if v},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": instances}, **more)

    def job(self, name):
        return self.sm.describe_transform_job(TransformJobName=name)

    def ended(self, name):
        eventually(lambda: self.job(name)["TransformJobStatus"] not in ("InProgress", "Stopping"), wait=60)
        return self.job(name)

    def done(self, name):
        job = self.ended(name)
        assert job["TransformJobStatus"] == "Completed", (job, self.logs(name))
        return self.outputs(name)

    def outputs(self, name):
        prefix = f"out/{name}/"
        listing = self.s3.list_objects_v2(Bucket="models", Prefix=prefix)
        return {entry["Key"].removeprefix(prefix):
                self.s3.get_object(Bucket="models", Key=entry["Key"])["Body"].read().decode()
                for entry in listing.get("Contents", [])}

    def written(self, name):
        """When each output was."""
        listing = self.s3.list_objects_v2(Bucket="models", Prefix=f"out/{name}/")
        return {entry["Key"]: entry["LastModified"] for entry in listing.get("Contents", [])}

    def advance(self, name, server, outputs):
        """Lets the job's server run, in slices, until there are more outputs than these; it is stopped then."""
        while len(self.written(name)) <= outputs:
            os.kill(server, signal.SIGCONT)
            time.sleep(0.02)
            os.kill(server, signal.SIGSTOP)

    def logs(self, name):
        logs = self.cloud.client("logs")
        group = "/aws/sagemaker/TransformJobs"
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name + "/")["logStreams"]
        return {s["logStreamName"]: [e["message"] for e in logs.get_log_events(
            logGroupName=group, logStreamName=s["logStreamName"], startFromHead=True)["events"]] for s in streams}

    def servers(self):
        return [pid for pid in self.children("serve", "transforms")]

    def children(self, *words):
        found, data = [], str(self.cloud.data / "transforms")
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == self.cloud.process.pid:
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().decode(errors="replace")
                with open(f"/proc/{entry}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        continue
            except OSError:
                continue
            if data in line and all(word in line for word in words):
                found.append(int(entry))
        return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("transform")


@pytest.fixture(scope="module")
def account(bertie, root, tiny_archive):
    account = TransformAccount.start(bertie, root / "shared", tiny_archive)
    yield account
    assert account.cloud.stop() == 0, account.cloud.log.read_text()
    assert not account.children()


@pytest.fixture(scope="module")
def logits(bertie, tiny_model, root):
    """What a server of the model answers to TEXTS."""
    process = subprocess.Popen([str(bertie), "serve", str(tiny_model), "--port", "0", "--address-file",
                                str(root / "address")], stderr=subprocess.DEVNULL)
    try:
        def ready():
            try:
                address = (root / "address").read_text().strip()
                return urllib.request.urlopen(f"http://{address}/ping", timeout=2).status == 200
            except OSError:
                return False

        eventually(ready)
        address = (root / "address").read_text().strip()
        request = urllib.request.Request(f"http://{address}/invocations", data=json.dumps(TEXTS).encode(),
                                         headers={"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request).read())
    finally:
        process.terminate()
        process.wait(30)


def test_rows_of_csv(account, logits):
    """Split into requests of one record and of several, and not at all; the order is the input's."""
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows([text] for text in TEXTS)
    account.put("csv/a.csv", rows.getvalue().encode())
    account.put("csv/deep/b.csv", rows.getvalue().encode()[:-1])  # no newline at its end
    account.put("csv/empty.csv", b"")
    account.transform("csv-many", "s3://models/csv/", "text/csv", "Line", "text/csv", "Line")
    account.transform("csv-one", "s3://models/csv/", "text/csv", "Line", "text/csv", "Line", instances=2,
                      BatchStrategy="SingleRecord", MaxConcurrentTransforms=8)
    account.transform("csv-whole", "s3://models/csv/a", "text/csv", accept="text/csv")
    for name in ("csv-many", "csv-one"):
        outputs = account.done(name)
        assert set(outputs) == {"a.csv.out", "deep/b.csv.out", "empty.csv.out"}
        assert outputs["empty.csv.out"] == ""
        for key in ("a.csv.out", "deep/b.csv.out"):
            found = [[float(cell) for cell in row] for row in csv.reader(io.StringIO(outputs[key]))]
            assert found == logits
    # The prefix ends within a name.
    assert account.done("csv-whole") == {"a.csv.out": account.outputs("csv-many")["a.csv.out"]}
    account.transform("csv-join", "s3://models/csv/a.csv", "text/csv", "Line", "text/csv", "Line",
                      DataProcessing={"JoinSource": "Input", "InputFilter": "$", "OutputFilter": "$"})
    joined = list(csv.reader(io.StringIO(account.done("csv-join")["a.csv.out"])))
    assert [row[0] for row in joined] == TEXTS
    assert [[float(cell) for cell in row[1:]] for row in joined] == logits


def test_lines_of_json_and_of_text(account, logits):
    """One answer a line; packed, listed in a manifest, and joined."""
    lines = "".join(json.dumps(text) + "\n" for text in TEXTS)
    account.put("json/a.jsonl.gz", gzip.compress(lines.encode()))
    account.put("json/b.jsonl", lines.encode())
    account.put("json/text", "\r\n".join(TEXTS).encode())
    account.put("manifest", json.dumps([{"prefix": "s3://models/json/"}, "b.jsonl"]).encode())
    account.transform("gzip", "s3://models/json/a", "application/jsonlines", "Line", assemble="Line",
                      compression="Gzip")
    account.transform("lines", "s3://models/manifest", "application/json", "Line", source="ManifestFile")
    account.transform("text", "s3://models/json/text", "text/plain")
    for name, key in (("gzip", "a.jsonl.gz.out"), ("lines", "b.jsonl.out"), ("text", "text.out")):
        outputs = account.done(name)
        assert set(outputs) == {key}
        assert [json.loads(line)[0] for line in outputs[key].splitlines()] == logits, name

    records = "".join('{"inputs": %s }\n' % json.dumps(text) for text in TEXTS[:3])
    account.put("join/objects", records.encode())
    account.put("join/texts", json.dumps(TEXTS[0]).encode())
    account.transform("joined", "s3://models/join/", "application/jsonlines", "Line", assemble="Line",
                      DataProcessing={"JoinSource": "Input"})
    outputs = account.done("joined")
    for text, line in zip(TEXTS, outputs["objects.out"].splitlines(), strict=False):
        line = json.loads(line)
        assert set(line) == {"inputs", "SageMakerOutput"} and line["inputs"] == text
        assert set(line["SageMakerOutput"][0]) == {"label", "score"}
    assert json.loads(outputs["texts.out"]) == {"SageMakerInput": TEXTS[0], "SageMakerOutput": [logits[0]]}


def test_descriptions_lists_logs_and_the_end(account):
    account.put("in/one", b'"text"')
    made = account.transform("life", "s3://models/in/one", "application/json",
                             Environment={"SOME": "value"}, Tags=[{"Key": "k", "Value": "v"}])
    arn = "arn:aws:sagemaker:us-west-2:123456789012:transform-job/life"
    assert made["TransformJobArn"] == arn
    # A client that did not get the answer asks again.
    account.transform("life", "s3://models/in/one", "application/json",
                      Environment={"SOME": "value"}, Tags=[{"Key": "k", "Value": "v"}])
    account.done("life")
    job = account.job("life")
    assert job["ModelName"] == "tiny" and job["Environment"] == {"SOME": "value"}
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://models/in/one"
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert account.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    listed = account.sm.list_transform_jobs(NameContains="lif", StatusEquals="Completed")["TransformJobSummaries"]
    assert [(one["TransformJobName"], one["TransformJobArn"]) for one in listed] == [("life", arn)]
    logs = account.logs("life")
    assert len(logs) == 2 and all(name.startswith("life/i-") for name in logs)
    words = next(lines for name, lines in logs.items() if name.endswith("/data-log"))
    assert words == ["MaxConcurrentTransforms=4, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"]
    assert not account.children()
    taken = code(account.transform, "life", "s3://models/in/two", "application/json")
    assert taken[0] == "ResourceInUse"
    assert "status Completed" in code(account.sm.stop_transform_job, TransformJobName="life")[1]
    assert code(account.job, "nobody") == ("ValidationException", "Requested resource not found.")
    assert code(account.sm.stop_transform_job, TransformJobName="nobody")[0] == "ValidationException"


def test_what_cannot_be_done_says_why(account):
    """Objects that can be read are; the job has failed nevertheless."""
    account.put("bad/a.jsonl", b'"good"\n{"inputs"\n"good"\n')
    account.put("bad/b.jsonl", b'"good"\n')
    account.transform("bad-record", "s3://models/bad/", "application/jsonlines", "Line")
    job = account.ended("bad-record")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information: "
                                           "s3://models/bad/a.jsonl: record 2: the server answered 400"), job
    assert set(account.outputs("bad-record")) == {"b.jsonl.out"}
    assert any("record 2" in line for lines in account.logs("bad-record").values() for line in lines)

    account.put("big/a.csv", b"short\n" + b"x" * (2 << 20) + b"\n")
    account.transform("big", "s3://models/big/", "text/csv", "Line", MaxPayloadInMB=1)
    assert "record 2 has more than the 1048576 bytes of MaxPayloadInMB" in account.ended("big")["FailureReason"]
    account.transform("none", "s3://models/nothing-here/", "text/csv")
    assert account.ended("none")["FailureReason"] == \
        'ClientError: Data download failed: No S3 objects found under S3 URL "s3://models/nothing-here/"'
    account.model("empty", account.upload("empty.tar.gz", archive({"readme": b"no model"})))
    account.transform("no-model", "s3://models/in/one", "text/csv", model="empty")
    assert account.ended("no-model")["FailureReason"].startswith("ClientError: s3://models/empty.tar.gz")
    assert not account.children()

    def refused(**keywords):
        found = code(account.transform, "refused", "s3://models/in/one",
                     keywords.pop("content_type", "text/csv"), **keywords)
        assert found[0] == "ValidationException", found
        return found[1]

    assert "splitType" in refused(split="RecordIO")
    assert "s3DataType" in refused(source="AugmentedManifestFile")
    assert "dataProcessing.inputFilter" in refused(DataProcessing={"InputFilter": "$[1:]"})
    assert "dataProcessing.outputFilter" in refused(DataProcessing={"OutputFilter": "$.a"})
    assert "dataProcessing.joinSource" in refused(DataProcessing={"JoinSource": "Input"})  # not split
    assert "must be at most 100" in refused(MaxPayloadInMB=50, MaxConcurrentTransforms=3)
    assert "Could not find model" in refused(model="nobody")


def test_a_job_is_stopped(account):
    account.put("stop/a.jsonl", b'"a text"\n' * 200_000)
    account.transform("stopped", "s3://models/stop/", "application/jsonlines", "Line")
    eventually(lambda: "TransformStartTime" in account.job("stopped"))
    account.sm.stop_transform_job(TransformJobName="stopped")
    job = account.ended("stopped")
    assert job["TransformJobStatus"] == "Stopped" and "FailureReason" not in job
    assert account.outputs("stopped") == {} and not account.children()


def test_a_killed_cloud_goes_on_with_its_jobs(bertie, root, tiny_archive):
    """With the server that still runs, or another; no output is seen that is not whole, nor written twice."""
    account = TransformAccount.start(bertie, root / "killed", tiny_archive)
    count, objects = 1200, 40
    for n in range(objects):
        account.put(f"in/{n:02}.jsonl", b'"some text"\n' * count)
    account.transform("job", "s3://models/in/", "application/jsonlines", "Line")
    eventually(lambda: "TransformStartTime" in account.job("job"))
    servers = account.servers()
    assert len(servers) == 1
    account.advance("job", servers[0], 0)
    account.cloud.stop(signal.SIGKILL)

    account = TransformAccount(Cloud(bertie, root / "killed"))
    before = account.written("job")
    assert 0 < len(before) < objects
    assert account.servers() == servers
    account.advance("job", servers[0], len(before))
    before = account.written("job")
    assert len(before) < objects
    account.cloud.stop(signal.SIGKILL)
    os.kill(servers[0], signal.SIGKILL)

    account = TransformAccount(Cloud(bertie, root / "killed"))
    outputs = account.done("job")
    assert len(outputs) == objects
    assert {len(text.splitlines()) for text in outputs.values()} == {count}
    after = account.written("job")
    assert all(after[key] == written for key, written in before.items())
    assert not account.children()
    # In order, in the middle: the servers end, and the job goes on with the next start.
    account.transform("again", "s3://models/in/", "application/jsonlines", "Line")
    eventually(lambda: account.written("again"))
    assert account.cloud.stop() == 0
    assert not account.children()
    account = TransformAccount(Cloud(bertie, root / "killed"))
    assert len(account.done("again")) == objects
    assert account.cloud.stop() == 0
