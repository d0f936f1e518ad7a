"""The console page of `bertie cloud`, as people use it: a real Chromium; and what it draws its charts
from, CloudWatch's metrics, as boto3 sees them."""

import concurrent.futures
import datetime
import http.client
import io
import json
import subprocess
import tarfile
import time

import pytest

boto3 = pytest.importorskip("boto3")
import botocore.exceptions  # noqa: E402

from test_cloud_s3 import ACCOUNT, REGION, Cloud  # noqa: E402

ROLE = f"arn:aws:iam::{ACCOUNT}:role/LocalRole"
JOBS = "/aws/sagemaker/TrainingJobs"
# In the place of an image: three epochs' lines, then it waits to be stopped.
# The command is in the log itself, and is no line of an epoch.
CURVE = ('trap "exit 0" TERM; loss=Loss; right=Accuracy; for i in 1 2 3; do echo "Train Epoch: $i $loss: 0.$((9 - i * 2))"; '
         'echo "Test set: $right: 0.$((5 + i))"; sleep 1.1; done; echo waiting; while :; do sleep 0.05; done')
KEYS = {"BERTIE_CLOUD_ACCESS_KEY_ID": "AKIDPAGE", "BERTIE_CLOUD_SECRET_ACCESS_KEY": "secret+of/the page"}
DEFINITIONS = [{"Name": "train:loss", "Regex": "Loss: ([0-9.]+)"},
               {"Name": "validation:accuracy", "Regex": "Accuracy: ([0-9.]+)"}]


def model_archive(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for name in ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"):
            tar.add(folder / name, name)
    return out.getvalue()


class Account:
    """A cloud with something of everything in it."""

    def __init__(self, bertie, data, model):
        self.cloud = Cloud(bertie, data, "--image", f"curve={CURVE}")
        assert self.cloud.port, self.cloud.log.read_text()
        self.s3, self.sm, self.runtime, self.cw = map(
            self.cloud.client, ("s3", "sagemaker", "sagemaker-runtime", "cloudwatch"))
        self.s3.create_bucket(Bucket="bkt", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_object(Bucket="bkt", Key="models/model.tar.gz", Body=model_archive(model))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: self.s3.put_object(Bucket="bkt", Key=f"many/file-{i:03}.txt", Body=b"x" * i), range(205)))
        self.s3.put_object(Bucket="bkt", Key="data/ein Name mit & und ü.csv", Body=b"sentence,label\n")
        self.job("curve", "curve")
        self.sm.create_model(ModelName="tiny", ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": "pytorch-inference", "ModelDataUrl": "s3://bkt/models/model.tar.gz",
            "Environment": {"SAGEMAKER_REGION": REGION}})
        self.sm.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[
            {"VariantName": name, "ModelName": "tiny", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
             "InitialVariantWeight": 1} for name in ("blue", "green")])
        self.sm.create_endpoint(EndpointName="try-me", EndpointConfigName="config")

    def job(self, name, image, **members):
        self.sm.create_training_job(**{
            "TrainingJobName": name, "RoleArn": ROLE, "AlgorithmSpecification": {
                "TrainingImage": image, "TrainingInputMode": "File", "MetricDefinitions": DEFINITIONS},
            "InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": "s3://bkt/data/"}}}],
            "OutputDataConfig": {"S3OutputPath": "s3://bkt/out"}, "HyperParameters": {"epochs": "3"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600}, **members})

    def in_service(self):
        end = time.monotonic() + 30
        while (state := self.sm.describe_endpoint(EndpointName="try-me"))["EndpointStatus"] != "InService":
            assert time.monotonic() < end, state
            time.sleep(0.05)


@pytest.fixture(scope="module")
def account(bertie, tmp_path_factory, tiny_model):
    account = Account(bertie, tmp_path_factory.mktemp("console") / "data", tiny_model)
    yield account
    for name in ("curve",):
        try:
            account.sm.stop_training_job(TrainingJobName=name)
        except botocore.exceptions.ClientError:
            pass  # it has ended
    end = time.monotonic() + 20
    while time.monotonic() < end and account.sm.list_training_jobs(StatusEquals="Stopping")["TrainingJobSummaries"]:
        time.sleep(0.05)
    account.cloud.stop()


@pytest.fixture
def open_console(account, open_tab):
    return lambda path="/", **options: open_tab(account.cloud.url, path, **options)


# ---- CloudWatch ----

def window(minutes=60):
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"StartTime": now - datetime.timedelta(minutes=minutes), "EndTime": now + datetime.timedelta(minutes=2)}


def test_metrics_of_an_endpoint(account):
    account.in_service()
    for variant in ("blue", "blue", "green"):
        account.runtime.invoke_endpoint(EndpointName="try-me", ContentType="application/json", Body='"a film"',
                                        TargetVariant=variant)
    with pytest.raises(botocore.exceptions.ClientError):
        account.runtime.invoke_endpoint(EndpointName="try-me", ContentType="application/json", Body="{",
                                        TargetVariant="green")

    def total(metric, variant, statistic="Sum"):
        dimensions = [{"Name": "EndpointName", "Value": "try-me"}, {"Name": "VariantName", "Value": variant}]
        points = account.cw.get_metric_statistics(Namespace="AWS/SageMaker", MetricName=metric, Period=60,
                                                  Dimensions=dimensions, Statistics=[statistic], **window())
        assert points["Label"] == metric
        assert {point["Unit"] for point in points["Datapoints"]} == {"Microseconds" if "Latency" in metric else "Count"}
        return sum(point[statistic] for point in points["Datapoints"])

    assert total("Invocations", "blue") == 2 and total("Invocations", "green") == 2
    assert total("Invocation4XXErrors", "blue") == 0 and total("Invocation4XXErrors", "green") == 1
    assert total("Invocation5XXErrors", "green") == 0
    assert 100 < total("ModelLatency", "blue", "Maximum") < 30e6
    assert total("OverheadLatency", "blue", "SampleCount") == 2
    found = account.cw.list_metrics(Namespace="AWS/SageMaker", Dimensions=[{"Name": "VariantName", "Value": "blue"}])["Metrics"]
    assert {metric["MetricName"] for metric in found} == {
        "Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency", "OverheadLatency"}


def test_metrics_of_a_job(account):
    end = time.monotonic() + 20
    query = [{"Id": "loss", "MetricStat": {"Stat": "Average", "Period": 1, "Metric": {
        "Namespace": JOBS, "MetricName": "train:loss", "Dimensions": [{"Name": "TrainingJobName", "Value": "curve"}]}}}]
    while True:
        result = account.cw.get_metric_data(MetricDataQueries=query, ScanBy="TimestampAscending", **window(1))["MetricDataResults"][0]
        if len(result["Values"]) == 3:
            break
        assert time.monotonic() < end, result
        time.sleep(0.1)
    assert result["Values"] == [0.7, 0.5, 0.3] and result["StatusCode"] == "Complete"
    assert result["Timestamps"] == sorted(result["Timestamps"])


def test_metrics_that_bertie_itself_prints(account, tiny_model):
    """A job of the built-in trainer without definitions has what its lines tell of."""
    for name in ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"):
        account.s3.put_object(Bucket="bkt", Key=f"base/{name}", Body=(tiny_model / name).read_bytes())
    account.s3.put_object(Bucket="bkt", Key="train/train.csv", Body=b"sentence,label\n" + b"a film,0\nthe sea,1\n" * 20)
    channels = [{"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bkt/{prefix}"}}}
                for name, prefix in (("training", "train/"), ("testing", "train/"), ("model", "base/"))]
    account.job("own", "pytorch-training", InputDataConfig=channels, HyperParameters={"epochs": "2"},
                AlgorithmSpecification={"TrainingImage": "pytorch-training", "TrainingInputMode": "File"})
    end = time.monotonic() + 40
    while (job := account.sm.describe_training_job(TrainingJobName="own"))["TrainingJobStatus"] == "InProgress":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    own = [{"Name": "TrainingJobName", "Value": "own"}]
    names = sorted(metric["MetricName"] for metric in account.cw.list_metrics(Namespace=JOBS, Dimensions=own)["Metrics"])
    assert names == ["train:loss", "validation:accuracy", "validation:f1", "validation:loss"]
    counts = {name: sum(point["SampleCount"] for point in account.cw.get_metric_statistics(
        Namespace=JOBS, MetricName=name, Dimensions=own, Period=60, Statistics=["SampleCount"], **window())["Datapoints"])
        for name in names}
    assert counts["train:loss"] >= 1 and counts["validation:accuracy"] == counts["validation:loss"] == 2


def test_cloudwatch_refuses_by_codes_that_boto3_knows(account):
    def refused(call, **arguments):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            call(**arguments)
        return error.value.response["Error"]["Code"]

    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Period": 60, **window()}
    assert refused(account.cw.get_metric_statistics, **metric) == "InvalidParameterCombination"
    assert refused(account.cw.get_metric_statistics, **metric, Statistics=["Best"]) == "InvalidParameterValue"
    with pytest.raises(account.cw.exceptions.InvalidParameterValueException):
        account.cw.get_metric_statistics(**metric, ExtendedStatistics=["p101"])
    assert refused(account.cw.put_metric_data, Namespace="own") == "UnknownOperationException"


# ---- who may come ----

def ask(cloud, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"127.0.0.1:{cloud.port}", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type"), answer.read().decode()


def test_s3s_clients_still_get_their_answers(account):
    assert [one["Name"] for one in account.s3.list_buckets()["Buckets"]] == ["bkt"]
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/html", "Authorization": "AWS4-HMAC-SHA256 x"}):
        assert "ListAllMyBucketsResult" in ask(account.cloud, "GET", "/", **headers)[2]
    status, kind, text = ask(account.cloud, "GET", "/", Accept="text/html")
    assert (status, kind) == (200, "text/html; charset=utf-8") and "<title>bertie console" in text
    account.s3.create_bucket(Bucket="console", CreateBucketConfiguration={"LocationConstraint": REGION})
    assert "ListBucketResult" in ask(account.cloud, "GET", "/console")[2]
    account.s3.delete_bucket(Bucket="console")


def test_foreign_pages_are_refused(account, chromium, tmp_path):
    assert ask(account.cloud, "GET", "/bkt", Host="evil.example")[0] == 403
    assert ask(account.cloud, "DELETE", "/bkt/many/file-000.txt", Origin="http://evil.example")[0] == 403
    # In a browser: requests that need nobody's leave, from a page of another origin.
    context = chromium.new_context()
    page = context.new_page()
    (tmp_path / "evil.html").write_text("<p>evil</p>")
    page.goto((tmp_path / "evil.html").as_uri())
    before = account.s3.head_object(Bucket="bkt", Key="many/file-001.txt")["ETag"]
    page.evaluate("""async url => { for (const body of ["<Delete><Object><Key>many/file-001.txt</Key></Object></Delete>"])
        await fetch(url, {method: "POST", mode: "no-cors", body, headers: {"Content-Type": "text/plain"}}).catch(() => {}); }""",
                  f"{account.cloud.url}/bkt?delete")
    context.close()
    assert account.s3.head_object(Bucket="bkt", Key="many/file-001.txt")["ETag"] == before
    assert "sandbox" in account.s3.get_object(Bucket="bkt", Key="many/file-001.txt")[
        "ResponseMetadata"]["HTTPHeaders"]["content-security-policy"]


# ---- the page ----

def test_overview_leads_everywhere(account, open_console):
    tab = open_console()
    tab.sees("#status", "Connected")
    tab.sees("#account", ACCOUNT)
    tab.sees("#count-buckets", "1")
    for part, heading in (("jobs", "Training jobs"), ("endpoints", "Endpoints"), ("models", "Models"), ("buckets", "Buckets")):
        tab.click(f"#nav a[href='#/{part}']")
        tab.sees("h1", heading)
        assert tab.get_attribute(f"#nav a[href='#/{part}']", "aria-current") == "page"
        assert tab.evaluate("document.activeElement.id") == "view-title"
    tab.click("text=bkt")
    tab.sees("td.name", "models/")
    tab.go_back()
    tab.sees("h1", "Buckets")
    tab.check()


def test_a_job_is_watched_and_stopped(account, open_console):
    tab = open_console("/#/jobs/curve")
    tab.sees(".status", "InProgress")
    tab.sees(".log", "waiting")
    tab.until("document.querySelectorAll('.plot').length >= 2")
    labels = "[...document.querySelectorAll('.plot')].map(node => node.getAttribute('aria-label')).join('\\n')"
    tab.until(f"/Loss. Latest: train:loss 0.3/.test({labels}) && /validation:accuracy 0.8/.test({labels})")
    tab.sees("dl", "epochs")
    tab.click("button:has-text('Stop')")
    tab.sees("#confirm-text", "asked to end")
    assert tab.evaluate("document.activeElement.id") == "confirm-no"
    tab.keyboard.press("Escape")
    assert account.sm.describe_training_job(TrainingJobName="curve")["TrainingJobStatus"] == "InProgress"
    tab.click("button:has-text('Stop')")
    tab.click("#confirm-yes")
    tab.sees(".title .status", "Stopped")
    tab.sees(".steps", "Training job stopped")
    tab.check()


def test_lines_of_a_log_are_shown_once(account, open_console):
    account.in_service()
    tab = open_console("/#/endpoints/try-me")
    tab.until("document.querySelectorAll('#log-stream option').length >= 2")
    stream = tab.evaluate("document.querySelectorAll('#log-stream option')[1].value")
    held = tab.hold("**/", lambda request: request.headers.get("x-amz-target", "").endswith("GetLogEvents"))
    tab.select_option("#log-stream", stream)
    held.wait(2)  # the choice's own, and that of the page's next turn
    held.release()
    tab.until("document.querySelectorAll('#log .line').length > 0")
    tab.wait_for_timeout(300)
    lines = [event["message"] for event in account.cloud.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/Endpoints/try-me", logStreamName=stream)["events"]]
    shown = tab.evaluate("[...document.querySelectorAll('#log .line')].map(line => line.lastChild.data.trimEnd())")
    assert shown == lines
    tab.check()


def test_an_endpoint_is_tried_and_deleted(account, open_console):
    account.in_service()
    tab = open_console("/#/endpoints/try-me")
    tab.sees(".title .status", "InService")
    tab.sees("table", "green")
    tab.fill("#try-text", "a film")
    tab.select_option("#try-variant", "green")
    tab.focus("#try-variant")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.sees("#try-result", "answered by green")
    assert tab.locator("#bars li").count() == 3
    for _ in range(20):
        account.runtime.invoke_endpoint(EndpointName="try-me", ContentType="application/json", Body='"a film"')
    label = "[...document.querySelectorAll('.plot')].map(node => node.getAttribute('aria-label'))"
    tab.until(f"/Highest: all [1-9]/.test({label}[0]) && /Highest: p50 [\\d.]+ ms/.test({label}[1])", wait=15_000)
    tab.click("button:has-text('Delete')")
    tab.click("#confirm-yes")
    tab.sees("h1", "Endpoints")
    tab.sees("main", "No endpoint yet|Deleting")
    tab.check()


def test_objects_come_and_go(account, open_console, tmp_path):
    tab = open_console("/#/buckets/bkt/many/")
    tab.sees("h1", "many")
    assert tab.locator("tbody tr").count() == 100
    tab.click("#page-next")
    tab.sees("td.name", "file-100.txt")
    tab.click("#page-next")
    tab.sees("td.name", "file-204.txt")
    assert tab.locator("tbody tr").count() == 5
    tab.click("#page-previous")
    tab.sees("td.name", "file-199.txt")
    # Up, down again, and away.
    name = "größe & 100 %.bin"
    (tmp_path / name).write_bytes(bytes(range(256)) * 5000)
    tab.goto("/#/buckets/bkt/new/")
    tab.sees("main", "Nothing is here")
    tab.set_input_files("#files", tmp_path / name)
    tab.sees(".uploads", "done")
    tab.sees("td.name", "größe")
    assert account.s3.get_object(Bucket="bkt", Key=f"new/{name}")["Body"].read() == bytes(range(256)) * 5000
    with tab.expect_download() as download:
        tab.click(f"button[aria-label='Download new/{name}']")
    assert download.value.suggested_filename == name
    assert download.value.path().read_bytes() == bytes(range(256)) * 5000
    tab.click(f"button[aria-label='Delete new/{name}']")
    tab.sees("#confirm-text", "goes for good")
    tab.click("#confirm-yes")
    tab.sees("main", "Nothing is here")
    tab.goto("/#/buckets")
    tab.fill("#bucket-name", "no")
    tab.keyboard.press("Enter")
    tab.sees("#bucket-error", "bucket is not valid")
    tab.fill("#bucket-name", "second")
    tab.keyboard.press("Enter")
    tab.sees("td.name", "second")
    tab.click("button[aria-label='Delete bucket bkt']")
    tab.click("#confirm-yes")
    tab.sees("#confirm-error", "not empty")
    tab.click("#confirm-no")
    tab.click("button[aria-label='Delete bucket second']")
    tab.click("#confirm-yes")
    tab.until("!document.body.innerText.includes('second')")
    # A key that no browser can ask for is not taken for another one.
    account.s3.put_object(Bucket="bkt", Key="dots/../victim", Body=b"dots")
    account.s3.put_object(Bucket="bkt", Key="victim", Body=b"kept")
    tab.goto("/#/buckets/bkt/dots/../")
    tab.click("button[aria-label='Download dots/../victim']")
    tab.sees("[role=alert]", "No browser can ask for dots/../victim")
    tab.click("button[aria-label='Delete dots/../victim']")
    tab.click("#confirm-yes")
    tab.sees("#confirm-error", "No browser can ask for")
    assert {one["Key"] for one in account.s3.list_objects_v2(Bucket="bkt")["Contents"]} >= {"dots/../victim", "victim"}
    tab.check(allow="status of 4")


def test_the_page_asked_for_last_is_shown(account, open_console):
    tab = open_console("/#/buckets/bkt/many/")
    tab.sees("h1", "many")
    held = tab.hold("**/bkt?*")
    tab.click("#page-next")
    tab.click("#page-next")
    held.release()
    tab.sees("section", "Page 2$")
    assert "file-100.txt" in tab.locator("td.name").all_inner_texts()
    held = tab.hold("**/bkt?*")
    tab.click("#page-next")
    held.wait()
    late = held.routes.pop()
    tab.click("#page-previous")
    held.release()
    tab.sees("td.name", "file-000.txt")
    with tab.expect_response("**/bkt?*"):
        late.continue_()
    tab.wait_for_timeout(300)
    assert "file-000.txt" in tab.locator("td.name").all_inner_texts()
    tab.check()


def test_models_and_what_is_not_there(account, open_console):
    tab = open_console("/#/models/tiny")
    tab.sees("dl", "pytorch-inference")
    tab.click("text=s3://bkt/models/model.tar.gz")
    tab.sees("td.name", "model.tar.gz")
    tab.goto("/#/jobs/none")
    tab.sees("main", "Requested resource not found")
    tab.goto("/#/buckets/none")
    tab.sees("main", "The specified bucket does not exist")
    tab.check(allow="status of 4")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_both_colours(account, open_console, scheme):
    tab = open_console(color_scheme=scheme)
    tab.set_viewport_size({"width": 360, "height": 780})
    for part in ("", "jobs", "jobs/curve", "endpoints", "models/tiny", "buckets", "buckets/bkt/many/", "buckets/bkt/data/"):
        tab.goto(f"/#/{part}")
        tab.sees("#status", "Connected")
        tab.until("document.querySelector('.card, .counts') !== null")
        tab.wait_for_timeout(150)
        assert tab.overflow() <= 0, part
        worst = tab.contrasts()
        assert worst["ratio"] >= 4.5, (part, worst)
    tab.check()


def test_signed_requests(bertie, tmp_path, open_tab):
    cloud = Cloud(bertie, tmp_path / "signed", env=KEYS)
    try:
        s3 = cloud.client(key=KEYS["BERTIE_CLOUD_ACCESS_KEY_ID"], secret=KEYS["BERTIE_CLOUD_SECRET_ACCESS_KEY"])
        s3.create_bucket(Bucket="locked", CreateBucketConfiguration={"LocationConstraint": REGION})
        tab = open_tab(f"http://localhost:{cloud.port}")
        tab.sees("#keys-title", "Sign in")
        tab.fill("#key-id", KEYS["BERTIE_CLOUD_ACCESS_KEY_ID"])
        tab.fill("#key-secret", "wrong")
        tab.keyboard.press("Enter")
        tab.sees("#keys-error", "signature")
        tab.fill("#key-secret", KEYS["BERTIE_CLOUD_SECRET_ACCESS_KEY"])
        tab.keyboard.press("Enter")
        tab.sees("#status", "Connected")
        tab.sees("#account", ACCOUNT)
        tab.goto("/#/buckets/locked/a%20b/")
        tab.sees("main", "Nothing is here")
        name = "it's (1) * ü+.txt"
        tab.set_input_files("#files", {"name": name, "mimeType": "text/plain", "buffer": b"signed"})
        tab.sees(".uploads", "done")
        tab.sees("td.name", "it's")
        assert s3.get_object(Bucket="locked", Key=f"a b/{name}")["Body"].read() == b"signed"
        with tab.expect_download() as download:
            tab.click("tbody button:has-text('Download')")
        assert download.value.path().read_bytes() == b"signed"
        for part in ("jobs", "endpoints", "models"):
            tab.goto(f"/#/{part}")
            tab.sees("main", "yet")
        assert json.loads(tab.evaluate("sessionStorage.getItem('bertie-console-keys')"))["id"] == "AKIDPAGE"
        assert tab.evaluate("localStorage.length") == 0
        tab.click("#keys-forget")
        tab.sees("#keys-title", "Sign in")
        tab.check(allow="status of 4")
    finally:
        cloud.stop()


def test_a_cloud_that_goes_and_comes(bertie, tmp_path, open_tab):
    cloud = Cloud(bertie, tmp_path / "again")
    tab = open_tab(cloud.url, "/#/jobs")
    tab.sees("main", "No training job yet")
    port = cloud.port
    cloud.stop()
    tab.sees("#trouble", "cannot be reached", wait=15_000)
    again = subprocess.Popen([str(bertie), "cloud", "--port", str(port), "--data", str(tmp_path / "again")],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        tab.until("/Connected/.test(document.getElementById('status').textContent)", wait=15_000)
        assert not tab.locator("#trouble").is_visible()
    finally:
        again.terminate()
        again.wait(35)
    tab.check(allow="ERR_|Failed to load")
