"""Training jobs of `bertie cloud` as boto3 sees them, and what a SIGKILL leaves of them."""

import io
import os
import signal
import tarfile
import time

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.exceptions  # noqa: E402

from test_cloud_s3 import ACCOUNT, REGION, Cloud  # noqa: E402
from test_sagemaker_container import BAD, GOOD, NOTEBOOK  # noqa: E402

IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:1.3.1-cpu-py3"
GROUP = "/aws/sagemaker/TrainingJobs"
# Commands in the place of images. The second waits for a file, so that a test says when it ends.
ARGUMENTS = ('echo "$@"; echo $SM_CURRENT_HOST of $SM_HOSTS; env | grep ^SM_HP_; cat program.txt; '
             'cp "$SM_CHANNEL_TRAINING/train.csv" "$SM_MODEL_DIR/$SM_CURRENT_HOST.csv"; '
             'echo made by $SM_CURRENT_HOST > "$SM_MODEL_DIR/who"')
WAITING = 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; echo kept > "$SM_MODEL_DIR/kept"'
FAILING = 'if [ $RANK = 1 ]; then echo "out of patience" > "$SAGEMAKER_BASE_DIR/output/failure"; exit 3; fi; sleep 60'


def csv(texts):
    return "\n".join(["sentence,label", *(f"{text},{int('sea' in text)}" for text in texts)]) + "\n"


def archive(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("_txt", ".txt"))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Jobs:
    """A cloud with data in it, and clients of it."""

    def __init__(self, bertie, data, model):
        self.bertie, self.data, self.model = bertie, data, model
        self.start()
        self.s3.create_bucket(Bucket="bkt", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_object(Bucket="bkt", Key="data/train.csv", Body=csv((GOOD + BAD) * 4))
        self.s3.put_object(Bucket="bkt", Key="data/sub/more.txt", Body=b"more")
        self.s3.put_object(Bucket="bkt", Key="test/test.csv", Body=csv(GOOD + BAD))
        self.s3.put_object(Bucket="bkt", Key="code.tar.gz", Body=archive(program_txt="the program\n"))

    def start(self):
        self.cloud = Cloud(self.bertie, self.data, "--image", f"arguments={ARGUMENTS}", "--image",
                           f"waiting={WAITING}", "--image", f"failing={FAILING}",
                           env={"BERTIE_MODEL": str(self.model)})
        self.s3, self.api, self.logs = map(self.cloud.client, ("s3", "sagemaker", "logs"))

    def restart(self, number=signal.SIGKILL):
        self.cloud.stop(number)
        self.start()

    def create(self, name, image=IMAGE, hosts=1, hyperparameters=None, **members):
        channels = [{"ChannelName": channel, "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://bkt/{prefix}", "S3DataDistributionType": "FullyReplicated"}}}
            for channel, prefix in (("training", "data"), ("testing", "test/test.csv"))]
        return self.api.create_training_job(**{
            "TrainingJobName": name, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/LocalRole",
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "InputDataConfig": channels, "OutputDataConfig": {"S3OutputPath": "s3://bkt/out/"},
            "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": hosts, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "HyperParameters": hyperparameters or {}, **members})["TrainingJobArn"]

    def describe(self, name):
        return self.api.describe_training_job(TrainingJobName=name)

    def wait(self, name, *, until=("Completed", "Failed", "Stopped"), key="TrainingJobStatus", limit=60):
        end = time.monotonic() + limit
        while (job := self.describe(name))[key] not in until:
            assert time.monotonic() < end, job
            time.sleep(0.05)
        return job

    def streams(self, name):
        return [stream["logStreamName"] for stream in self.logs.describe_log_streams(
            logGroupName=GROUP, logStreamNamePrefix=name + "/")["logStreams"]]

    def log(self, stream, **options):
        """All of a stream, as the SDK reads it: until a page is empty."""
        lines, token = [], {}
        while page := self.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True,
                                               **token, **options):
            if not page["events"]:
                assert not token or page["nextForwardToken"] == token["nextToken"]
                return lines
            lines += page["events"]
            token = {"nextToken": page["nextForwardToken"]}

    def text(self, name):
        return "\n".join(e["message"] for stream in self.streams(name) for e in self.log(stream))

    def model_files(self, job):
        key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://bkt/")
        body = self.s3.get_object(Bucket="bkt", Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


@pytest.fixture(scope="module")
def jobs(bertie, tmp_path_factory, tiny_model):
    jobs = Jobs(bertie, tmp_path_factory.mktemp("jobs") / "data", tiny_model)
    yield jobs
    jobs.cloud.stop()
    for file in jobs.data.glob("jobs/*/*/pid"):  # what a test that failed has left running
        if not (file.parent / "exit").exists():
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)


def failure(call, *arguments, **options):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(*arguments, **options)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_the_notebooks_job_on_two_hosts(jobs):
    metrics = [{"Name": "loss", "Regex": r"Average training loss: (?P<value>[0-9.]+)"},
               {"Name": "never", "Regex": "never: (.*)"}]
    arn = jobs.create("notebook", hosts=2, hyperparameters=NOTEBOOK | {
        "sagemaker_submit_directory": '"s3://bkt/code.tar.gz"'}, AlgorithmSpecification={
            "TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": metrics},
        DebugHookConfig={"S3OutputPath": "s3://bkt/out/", "CollectionConfigurations": []})
    assert arn == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/notebook"
    job = jobs.wait("notebook")
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), jobs.text("notebook"))
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(t["StatusMessage"] and t["EndTime"] >= t["StartTime"]
               for t in job["SecondaryStatusTransitions"])
    assert job["HyperParameters"]["epochs"] == "1" and job["ResourceConfig"]["InstanceCount"] == 2
    assert job["DebugHookConfig"]["CollectionConfigurations"] == []
    assert job["TrainingTimeInSeconds"] > 0 and job["TrainingEndTime"] >= job["TrainingStartTime"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bkt/out/notebook/output/model.tar.gz"
    files = jobs.model_files(job)
    assert {"config.json", "vocab.txt", "model.safetensors"} <= set(files)
    with tarfile.open(fileobj=io.BytesIO(jobs.s3.get_object(
            Bucket="bkt", Key="out/notebook/output/output.tar.gz")["Body"].read())) as tar:
        assert "report.html" in tar.getnames()

    first, second = jobs.streams("notebook")
    assert first.startswith("notebook/algo-1-") and second.startswith("notebook/algo-2-")
    events = jobs.log(first)
    assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)
    text = "\n".join(e["message"] for e in events)
    assert "train_deploy.py" in text and "is not run" in text and "here the CPU trains" in text
    assert "rank 0 of 2" in text and "rank 1 of 2" in jobs.text("notebook")
    (metric,) = job["FinalMetricDataList"]
    assert metric["MetricName"] == "loss" and 0 < metric["Value"] < 10
    assert f"Average training loss: {metric['Value']}"[:28] in text


def test_log_pages_and_filters(jobs):
    jobs.create("pages", image="arguments", hyperparameters={"a": "1", "b": '"x y"'})
    jobs.wait("pages")
    (stream,) = jobs.streams("pages")
    whole = [e["message"] for e in jobs.log(stream)]
    assert [e["message"] for e in jobs.log(stream, limit=1)] == whole
    page = jobs.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=2)
    assert [e["message"] for e in page["events"]] == whole[-2:]
    page = jobs.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=1,
                                    nextToken=page["nextBackwardToken"])
    assert [e["message"] for e in page["events"]] == whole[-3:-2]
    times = jobs.log(stream)
    late = jobs.log(stream, startTime=times[-1]["timestamp"])
    assert 0 < len(late) and late[-1] == times[-1]
    assert not jobs.log(stream, startTime=times[-1]["timestamp"] + 1)
    found = [e for page in jobs.logs.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, logStreamNamePrefix="pages/", filterPattern='SM_HP_ -A= -"bertie cloud"')
        for e in page["events"]]
    assert [(e["logStreamName"], e["message"]) for e in found] == [(stream, "SM_HP_B=x y")]
    assert failure(jobs.logs.describe_log_streams, logGroupName="/aws/none")[0] == "ResourceNotFoundException"
    assert failure(jobs.logs.get_log_events, logGroupName=GROUP, logStreamName="pages/no")[
        0] == "ResourceNotFoundException"
    assert GROUP in [g["logGroupName"] for g in jobs.logs.describe_log_groups()["logGroups"]]


def test_a_command_in_an_images_place(jobs):
    jobs.create("command", image="registry.example/team/arguments:2", hosts=2, hyperparameters={
        "epochs": "3", "n": "true", "name": '"a b"', "sagemaker_submit_directory": '"s3://bkt/code.tar.gz"'})
    job = jobs.wait("command")
    assert job["TrainingJobStatus"] == "Completed", job
    text = jobs.text("command")
    assert "--epochs 3 -n True --name a b" in text and "the program" in text
    assert 'algo-2 of ["algo-1","algo-2"]' in text
    files = jobs.model_files(job)
    # Of one name the first host's.
    assert set(files) == {"algo-1.csv", "algo-2.csv", "who"} and files["who"] == b"made by algo-1\n"
    assert files["algo-2.csv"].decode() == csv((GOOD + BAD) * 4)


def test_failures_say_why(jobs):
    jobs.create("unknown-image", image="mine:1")
    jobs.create("wrong-parameter", hyperparameters={"no_such": "1"})
    jobs.create("failing", image="failing", hosts=2)
    jobs.create("no-data", InputDataConfig=[{"ChannelName": "training", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": "s3://bkt/none"}}}])
    reasons = {}
    for name in ("unknown-image", "wrong-parameter", "failing", "no-data"):
        job = jobs.wait(name)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
        reasons[name] = job["FailureReason"]
    assert reasons["unknown-image"].startswith("ClientError: image not available locally: mine:1")
    assert reasons["wrong-parameter"].startswith("AlgorithmError: unknown hyperparameter no_such")
    assert reasons["wrong-parameter"].endswith(", exit code: 2")
    assert reasons["failing"] == "AlgorithmError: out of patience, exit code: 3"
    assert reasons["no-data"] == ('ClientError: Data download failed: No S3 objects found under S3 URL '
                                  '"s3://bkt/none"')


def test_requests_that_are_refused(jobs, tmp_path):
    assert failure(jobs.describe, "nobody") == ("ValidationException", "Requested resource not found.")
    assert failure(jobs.api.stop_training_job, TrainingJobName="nobody")[0] == "ValidationException"
    code, message = failure(jobs.create, "name_with_underscores")
    assert code == "ValidationException" and "'trainingJobName'" in message and "pattern" in message
    code, message = failure(jobs.create, "regex", AlgorithmSpecification={
        "TrainingImage": IMAGE, "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "m", "Regex": "(?<=a)(b)"}]})
    assert code == "ValidationException" and "(?<=a)(b)" in message
    code, message = failure(jobs.create, "many", hosts=1000)
    assert code == "ResourceLimitExceeded" and "1000" in message
    jobs.create("twice", image="mine", Tags=[{"Key": "a", "Value": "1"}])
    # The same bytes again within a minute: a client that lost the answer.
    jobs.create("twice", image="mine", Tags=[{"Key": "a", "Value": "1"}])
    arn = {"ResourceArn": jobs.describe("twice")["TrainingJobArn"]}
    assert jobs.api.list_tags(**arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    jobs.api.add_tags(**arn, Tags=[{"Key": "b", "Value": "2"}])
    jobs.api.delete_tags(**arn, TagKeys=["a"])
    assert jobs.api.list_tags(**arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    code, message = failure(jobs.create, "twice", image="other")
    assert code == "ResourceInUse" and "training-job/twice" in message
    jobs.wait("twice")
    assert "is in status Failed" in failure(jobs.api.stop_training_job, TrainingJobName="twice")[1]


def test_stop_keeps_the_model(jobs, tmp_path):
    jobs.create("stopped", image="waiting", Environment={"GO": str(tmp_path / "go")})
    jobs.wait("stopped", until=("Training",), key="SecondaryStatus")
    jobs.api.stop_training_job(TrainingJobName="stopped")
    job = jobs.wait("stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [t["Status"] for t in job["SecondaryStatusTransitions"]]
    assert jobs.model_files(job) == {}
    jobs.create("too-long", image="waiting", Environment={"GO": str(tmp_path / "go")},
                StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = jobs.wait("too-long")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_lists_come_in_pages(jobs):
    names = [j["TrainingJobName"] for page in jobs.api.get_paginator("list_training_jobs").paginate(
        SortBy="Name", SortOrder="Descending", MaxResults=2) for j in page["TrainingJobSummaries"]]
    assert names == sorted(names, reverse=True) and {"notebook", "stopped", "failing"} <= set(names)
    stopped = jobs.api.list_training_jobs(StatusEquals="Stopped", NameContains="top")["TrainingJobSummaries"]
    assert [j["TrainingJobName"] for j in stopped] == ["stopped"]
    jobs.api.delete_training_job(TrainingJobName="stopped")
    assert failure(jobs.describe, "stopped")[1] == "Requested resource not found."


def test_jobs_outlive_a_killed_cloud(jobs, tmp_path):
    """One whose program ends meanwhile, one that runs on, one whose program is killed too."""
    go = {name: tmp_path / name for name in ("ended", "runs", "lost")}
    for name, path in go.items():
        jobs.create(name, image="waiting", Environment={"GO": str(path)})
    for name in go:
        jobs.wait(name, until=("Training",), key="SecondaryStatus")
    pids = {name: int((jobs.data / "jobs" / name / "algo-1" / "pid").read_text().split()[0]) for name in go}
    jobs.cloud.stop(signal.SIGKILL)
    go["ended"].touch()
    # With its keeper, so that nobody can say how it ended.
    keeper = int((open(f"/proc/{pids['lost']}/stat").read().rsplit(")", 1)[1].split())[1])
    os.kill(keeper, signal.SIGKILL)
    os.killpg(pids["lost"], signal.SIGKILL)
    exit_file = jobs.data / "jobs" / "ended" / "algo-1" / "exit"
    while not exit_file.exists():
        time.sleep(0.02)
    jobs.start()
    assert jobs.wait("ended")["TrainingJobStatus"] == "Completed"
    assert jobs.describe("runs")["SecondaryStatus"] == "Training"
    for name in ("runs", "lost"):
        go[name].touch()
        job = jobs.wait(name)
        assert job["TrainingJobStatus"] == "Completed", job
        assert jobs.model_files(job) == {"kept": b"kept\n"}
    assert "Restarting" in [t["Status"] for t in jobs.describe("lost")["SecondaryStatusTransitions"]]
    starts = {name: jobs.text(name).splitlines().count("begun") for name in go}
    assert starts == {"ended": 1, "runs": 1, "lost": 2}
    log = jobs.cloud.log.read_text()
    assert "training job runs: adopted, 1 of 1 ranks running" in log
    assert "training job ended: adopted, 0 of 1 ranks running" in log
    assert "training job lost: its ranks were lost; it begins again" in log


def test_an_orderly_end_leaves_jobs_to_the_next_start(jobs, tmp_path):
    jobs.create("left", image="waiting", Environment={"GO": str(tmp_path / "go")})
    jobs.wait("left", until=("Training",), key="SecondaryStatus")
    jobs.restart(signal.SIGTERM)
    assert "1 training job goes on" in jobs.cloud.log.read_text()
    jobs.api.stop_training_job(TrainingJobName="left")
    assert jobs.wait("left")["TrainingJobStatus"] == "Stopped"
