"""What `bertie train` leaves behind beside the model: events, table, report, model card."""

import csv
import html.parser
import json
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile

import pytest

GOOD = ["the sea it", "it the sea", "sea the sea it", "it it sea", "the the sea"]
BAD = ["rain the rain", "rained it rain", "it rain the", "rain rain rain", "the rained"]
# A label and a sentence that would break a page, a table of Markdown and YAML.
HOSTILE = '</script><b onload="x()">&amp; | `it` \u202e'


@pytest.fixture(scope="module")
def out(run, tiny_model, tmp_path_factory):
    """The folder of a finished run: three labels, one of them hostile, and wrong test labels."""
    folder = tmp_path_factory.mktemp("outputs")
    rows = [{"sentence": text, "label": label} for _ in range(6)
            for texts, label in ((GOOD, "sea"), (BAD, HOSTILE)) for text in texts]
    wrong = [{"sentence": HOSTILE + " rain", "label": "sea"}, {"sentence": "sea it", "label": HOSTILE}]
    for name, content in (("train.jsonl", rows), ("test.jsonl", rows[:10] + wrong)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in content))
    done = run("train", "--model", tiny_model, folder / "train.jsonl", "--test", folder / "test.jsonl",
               "--out", folder / "out", "--epochs", 3, "--batch-size", 4, "--lr", "1e-3",
               "--log-interval", 5, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder / "out"


def history(out, kind):
    lines = (out / "history.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


# ---- TensorBoard's events, read by the formats' definitions ----

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def records(content):
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        payload = content[at + 12 : at + 12 + length]
        for part, position in ((content[at : at + 8], at + 8), (payload, at + 12 + length)):
            crc = crc32c(part)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack_from("<I", content, position)[0] == masked
        yield payload
        at += length + 16


def fields(message):
    """(number, value) of a protocol buffer: whole numbers, floats, bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        elif kind == 2:
            length = varint()
            value, at = message[at : at + length], at + length
        else:
            form, size = {1: ("<d", 8), 5: ("<f", 4)}[kind]
            (value,), at = struct.unpack_from(form, message, at), at + size
        yield key >> 3, value


def scalars(file):
    found = {}
    for record in records(file.read_bytes()):
        event = dict(fields(record))
        for number, value in fields(event.get(5, b"")):
            assert number == 1
            summary = dict(fields(value))
            if 2 in summary:
                found.setdefault(summary[1].decode(), []).append((event[2], summary[2]))
    return found


def test_events_hold_what_the_history_holds(out):
    (file,) = out.glob("runs/*/events.out.tfevents.*.0")
    first = dict(fields(next(records(file.read_bytes()))))
    assert first[3] == b"brain.Event:2"
    found = scalars(file)
    for tag, kind, key in (("train/loss", "step", "loss"), ("train/learning_rate", "step", "lr"),
                           ("train/grad_norm", "step", "grad_norm"), ("test/loss", "epoch", "test_loss"),
                           ("train/epoch_loss", "epoch", "train_loss"),
                           ("test/accuracy", "epoch", "test_accuracy"), ("test/mcc", "epoch", "test_mcc")):
        expected = [(event["step"], pytest.approx(event[key], rel=1e-6)) for event in history(out, kind)]
        assert found[tag] == expected, tag
    assert "train/sentences_per_s" in found


def test_events_elsewhere_or_nowhere(run, tiny_model, out, tmp_path):
    base = ["train", "--model", tiny_model, out.parent / "train.jsonl", "--epochs", 1, "--threads", 1,
            "--no-report"]
    assert run(*base, "--out", tmp_path / "a", "--tensorboard", tmp_path / "tb").returncode == 0
    assert len(list((tmp_path / "tb").glob("events.out.tfevents.*"))) == 1
    assert not (tmp_path / "a" / "runs").exists()
    assert not (tmp_path / "a" / "report.html").exists()
    assert not (tmp_path / "a" / "README.md").exists()
    assert run(*base, "--out", tmp_path / "b", "--no-tensorboard").returncode == 0
    assert not (tmp_path / "b" / "runs").exists()


def test_a_second_run_keeps_the_first_ones_events(run, tiny_model, out, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    before = {file.name for file in copy.glob("runs/*/*")}
    done = run("train", "--model", tiny_model, out.parent / "train.jsonl", "--epochs", 1, "--out", copy)
    assert done.returncode == 0, done.stderr
    after = {file.name for file in copy.glob("runs/*/*")}
    assert before < after and len(after) == 2
    rows = list(csv.DictReader((copy / "history.csv").open(newline="")))
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == ["1"]  # the last run's


def test_csv_holds_what_the_history_holds(out):
    rows = list(csv.DictReader((out / "history.csv").open(newline="")))
    events = history(out, "step") + history(out, "epoch")
    assert len(rows) == len(events)
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    by_place = {(row["event"], int(row["step"])): row for row in rows}
    for event in events:
        row = by_place[event["event"], event["step"]]
        loss = event["loss"] if event["event"] == "step" else event["train_loss"]
        assert float(row["loss"]) == loss
        if event["event"] == "epoch":
            assert float(row["test_mcc"]) == event["test_mcc"]


def test_terminal_shows_the_confusion_matrix(out):
    stdout = (out.parent / "stdout").read_text()
    assert "true \\ predicted" in stdout
    assert "precision" in stdout
    assert f"report {out / 'report.html'}" in stdout


# ---- the report ----

class Page(html.parser.HTMLParser):
    VOID = {"meta", "br", "line", "circle", "polyline"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(out):
    page = Page()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


def test_report_needs_nothing_beside_it(page):
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.tags:
        assert not {"src", "href", "onload", "onclick"} & attributes.keys()
    policy = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "url(" not in page.text and "@import" not in page.text


def test_report_shows_texts_as_they_are(page):
    assert HOSTILE + " rain" in page.text
    assert not any(tag in ("b", "amp") for tag, _ in page.tags)


def test_report_says_what_the_history_says(page, out):
    last = history(out, "epoch")[-1]
    for key in ("test_accuracy", "test_mcc", "test_loss"):
        assert f"{last[key]:.4f}" in page.text, key
    for heading in ("Loss", "Test", "Each label", "Confusion matrix", "The worst mistakes", "Recipe",
                    "Machine"):
        assert heading in page.text
    assert "0.001" in page.text  # the learning rate


def test_report_can_be_read_without_eyes(page):
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert pictures
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert re.search(r"from -?\d", attributes["aria-label"])
    assert ("html", {"lang": "en"}) in page.tags
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert all(a.get("scope") in ("row", "col") for tag, a in page.tags if tag == "th")


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def in_browser(page, tmp_path, *flags):
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={tmp_path / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [360, 1000])
def test_report_fits_the_window_of_a_real_browser(out, tmp_path, width):
    """A frame around the report tells, from inside the browser, whether it is wider than its window."""
    report = (out / "report.html").read_text(encoding="utf-8")
    assert report.count("<meta http-equiv") == 1
    measured = tmp_path / "measured.html"
    # Without its policy, which forbids scripts, and with one that writes what it finds.
    measured.write_text(re.sub(r"<meta http-equiv[^>]*>", "", report) + """<script>
      document.title = JSON.stringify({need: document.documentElement.scrollWidth,
        window: document.documentElement.clientWidth,
        curves: [...document.querySelectorAll('polyline')].filter(p => p.getTotalLength() > 0).length});
      </script>""", encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="measured.html" width="{width}" height="800"></iframe><p id="o"></p><script>'
                     "onload = () => { document.getElementById('o').textContent = "
                     "document.querySelector('iframe').contentDocument.title; }</script>")
    done = in_browser(frame, tmp_path, "--allow-file-access-from-files", "--virtual-time-budget=5000",
                      "--dump-dom")
    found = re.search(r'<p id="o">(\{.*?\})</p>', done.stdout)
    assert found, done.stderr[-2000:]
    size = json.loads(found[1])
    assert size["need"] <= size["window"] <= width
    assert size["curves"] >= 3


# ---- the model card ----

def test_card_is_read_by_the_hubs_own_library(out):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(out / "README.md")
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.base_model == "tiny"
    last = history(out, "epoch")[-1]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["accuracy"] == pytest.approx(last["test_accuracy"], abs=1e-6)
    assert results["matthews_correlation"] == pytest.approx(last["test_mcc"], abs=1e-6)
    assert "license" not in card.data.to_dict()
    assert str(out.parent) not in card.content  # no paths of this machine


def test_archive_holds_the_card_but_no_sentences(out):
    with tarfile.open(pathlib.Path(f"{out}.tar.gz")) as archive:
        names = archive.getnames()
    assert "README.md" in names
    assert "report.html" not in names


def test_an_edited_card_stays(run, tiny_model, out, tmp_path):
    def train(folder):
        done = run("train", "--model", tiny_model, out.parent / "train.jsonl", "--epochs", 1, "--out", folder)
        assert done.returncode == 0, done.stderr
        return done

    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    old = (copy / "README.md").read_text()
    assert "README" not in train(copy).stderr
    new = (copy / "README.md").read_text()  # nobody edited it: it is of the new run
    assert new != old and "sentences held out of train.jsonl" in new
    mine = new.replace("# license: yours to choose", "license: mit")
    (copy / "README.md").write_text(mine)
    done = train(copy)
    assert (copy / "README.md").read_text() == mine
    assert "README.new.md" in done.stderr
    assert "license: yours" in (copy / "README.new.md").read_text()
