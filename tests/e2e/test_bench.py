"""`bertie bench` as a user starts it. Figures are checked for sense, never for size."""

import http.server
import itertools
import json
import re
import subprocess
import threading
import time
import xml.etree.ElementTree

import pytest

QUICK = ("--seconds", "0.1")


def bench_json(run, *arguments):
    done = run("bench", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def texts(tmp_path):
    """Rows of a csv: 40 texts, one with quotes and one beyond ASCII."""
    rows = ["the sea", 'it ""rained""', "réd sea"] + [f"rain {'the sea ' * (i % 7)}" for i in range(37)]
    file = tmp_path / "texts.csv"
    file.write_text("review,stars\n" + "".join(f'"{row}",{i % 5}\n' for i, row in enumerate(rows)))
    return file


def descendants(pid):
    """Processes that `pid` started and that still run."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


class StallingHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    count = itertools.count(1)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if next(self.count) % 100 == 0:
            time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def stalling_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StallingHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestLocal:
    def test_latency_lines_have_the_form_that_scripts_read(self, run, tiny_model):
        rows = bench_json(run, tiny_model, "--what", "latency", "--lengths", "4,8", "--threads", 1,
                          *QUICK)
        assert [list(row) for row in rows] == [
            ["engine", "threads", "tokens", "min_ms", "p50_ms", "p99_ms"]] * 2
        assert [(row["engine"], row["threads"], row["tokens"]) for row in rows] == [
            ("bertie", 1, 4), ("bertie", 1, 8)]
        for row in rows:
            assert 0 < row["min_ms"] <= row["p50_ms"] <= row["p99_ms"]

    def test_lengths_beyond_the_model_are_left_out_unless_asked_for(self, run, tiny_model):
        positions = json.loads((tiny_model / "config.json").read_text())["max_position_embeddings"]
        rows = bench_json(run, tiny_model, "--what", "latency", *QUICK)
        expected = [n for n in (8, 16, 32, 64, 128, 256, 512) if n <= positions]
        assert [row["tokens"] for row in rows] == expected
        done = run("bench", tiny_model, "--lengths", positions + 1, *QUICK)
        assert done.returncode == 2
        assert f"at most {positions} tokens" in done.stderr

    def test_throughput_in_both_orders(self, run, tiny_model, texts):
        rows = bench_json(run, tiny_model, "--what", "throughput", "--data", texts, "--text-column",
                          "review", "--threads", 2, *QUICK)
        assert [row["order"] for row in rows] == ["sorted", "random"]
        for row in rows:
            assert (row["what"], row["threads"], row["sentences"]) == ("throughput", 2, 40)
            assert row["tokens"] > 3 * 40
            assert 0 < row["sentences_per_s"] <= row["best_sentences_per_s"]
            assert row["tokens_per_s"] == pytest.approx(
                row["sentences_per_s"] * row["tokens"] / 40, rel=0.01)

    def test_throughput_counts_the_tokens_that_tokenize_gives(self, run, tiny_model, tmp_path):
        file = tmp_path / "lines.txt"
        file.write_text("the sea\nit rained\n")
        rows = bench_json(run, tiny_model, "--what", "throughput", "--data", file, *QUICK)
        assert rows[0]["sentences"] == 2
        # [CLS] the sea [SEP], [CLS] it rained [SEP]: as many tokens as words where all are known.
        assert rows[0]["tokens"] >= 8

    def test_made_up_sentences_are_the_same_every_time(self, run, tiny_model):
        first, second = (bench_json(run, tiny_model, "--what", "throughput,tokenizer", *QUICK)
                         for _ in range(2))
        assert first[0]["sentences"] == second[0]["sentences"] > 100
        assert first[0]["tokens"] == second[0]["tokens"]
        assert first[2]["bytes"] == second[2]["bytes"]

    def test_tokenizer(self, run, tiny_model, texts):
        row, = bench_json(run, tiny_model, "--what", "tokenizer", "--data", texts, "--text-column",
                          1, *QUICK)
        assert row["what"] == "tokenizer"
        assert row["texts"] == 40
        assert row["mb_per_s"] > 0
        assert row["tokens_per_s"] / row["tokens"] == pytest.approx(
            row["mb_per_s"] * 1e6 / row["bytes"], rel=0.1)

    def test_the_table_names_every_part(self, run, tiny_model):
        done = run("bench", tiny_model, "--what", "latency,throughput,tokenizer", *QUICK)
        assert done.returncode == 0, done.stderr
        for words in ("one sentence at a time", "p99 ms", "sentences/s", "random",
                      "tokenizer, 1 thread"):
            assert words in done.stdout

    def test_help_has_examples(self, run):
        text = run("bench", "--help").stdout
        assert "Examples:" in text
        for part in ("latency", "throughput", "tokenizer", "cold-start", "load"):
            assert part in text


class TestFlags:
    @pytest.mark.parametrize("flags", [
        ("--seconds", "nan"), ("--seconds", "-1"), ("--seconds", "inf"), ("--what", "speed"),
        ("--lengths", "0"), ("--rate", "nan"), ("--rate", "0"), ("--rate", "-5"), ("--rate", "70%%"),
        ("--rate", "inf"), ("--concurrency", "0"), ("--connections", "100000"), ("--runs", "0"),
        ("--threads", "2000")])
    def test_bad_values_are_usage_errors(self, run, tiny_model, flags):
        done = run("bench", tiny_model, *flags)
        assert done.returncode == 2, done.stderr
        assert flags[0] in done.stderr

    def test_without_a_model_only_a_url_can_be_measured(self, run):
        done = run("bench")
        assert done.returncode == 2
        assert "MODEL" in done.stderr

    def test_a_url_needs_the_part_that_asks_it(self, run, tiny_model):
        done = run("bench", tiny_model, "--url", "http://127.0.0.1:1")
        assert done.returncode == 2
        assert "--what" in done.stderr

    @pytest.mark.parametrize("url", ["127.0.0.1:80", "https://h", "http://h:0"])
    def test_a_bad_url_is_a_usage_error(self, run, url):
        done = run("bench", "--what", "load", "--url", url)
        assert done.returncode == 2
        assert "http://HOST:PORT" in done.stderr

    def test_a_model_that_is_not_there(self, run, tmp_path):
        for part in ("latency", "cold-start", "load"):
            done = run("bench", tmp_path / "none", "--what", part)
            assert done.returncode == 1
            assert "none" in done.stderr

    @pytest.mark.parametrize("command", [
        ("eval", "data.csv", "--min-accuracy"), ("eval", "data.csv", "--min-mcc"),
        ("serve", "--request-timeout"), ("serve", "--max-body-mb"), ("serve", "--idle-timeout")])
    def test_nan_is_no_number_elsewhere_either(self, run, tiny_model, command):
        name, *rest = command
        done = run(name, tiny_model, *rest, "nan", timeout=30)
        assert done.returncode == 2
        assert "nan" in done.stderr


class TestServer:
    def test_cold_start(self, run, tiny_model):
        row, = bench_json(run, tiny_model, "--what", "cold-start", "--runs", 2)
        assert (row["what"], row["runs"]) == ("cold-start", 2)
        assert 0 < row["min_ms"] <= row["p50_ms"] <= row["max_ms"]

    def test_load_finds_the_capacity_and_takes_shares_of_it(self, run, tiny_model):
        closed, *opened = bench_json(run, tiny_model, "--what", "load", "--threads", 1, "--rate",
                                     "20%,40%", "--seconds", 0.5)
        assert (closed["loop"], closed["concurrency"]) == ("closed", 32)
        assert [row["loop"] for row in opened] == ["open", "open"]
        for row, share in zip(opened, (0.2, 0.4), strict=True):
            assert row["rate"] == pytest.approx(share * closed["requests_per_s"], rel=0.01)
        for row in [closed, *opened]:
            assert row["errors"] == 0
            assert row["requests"] > 0
            assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p99_9_ms"] <= row["max_ms"]

    def test_arrivals_depend_on_the_seed_alone(self, run, serve, tiny_model):
        url = f"http://127.0.0.1:{serve(tiny_model).port}"

        def requests(seed):
            return bench_json(run, "--what", "load", "--url", url, "--rate", 200, "--seconds", 0.5,
                              "--seed", seed)[0]["requests"]

        assert requests(1) == requests(1)
        assert len({requests(seed) for seed in range(1, 5)}) > 1

    def test_every_request_is_counted_by_the_server(self, run, serve, tiny_model, texts):
        server = serve(tiny_model)
        rows = bench_json(run, "--what", "load", "--url", f"http://127.0.0.1:{server.port}",
                          "--concurrency", "1,4", "--data", texts, "--text-column", "review",
                          "--seconds", 0.2)
        assert [row["concurrency"] for row in rows] == [1, 4]
        assert all(row["errors"] == 0 for row in rows)
        metrics = server.request("GET", "/metrics").body.decode()
        served = sum(float(line.split()[-1]) for line in metrics.splitlines()
                     if re.match(r'\w*requests_total\{.*"200".*\}', line))
        assert served >= sum(row["requests"] for row in rows)

    def test_a_server_that_stalls_cannot_hide_what_waits(self, run, stalling_server):
        """Every hundredth answer takes 0.3 s, in which 60 more requests fall due on the one
        connection: more than half wait for it. A client that asked only when it had its answer
        would see one slow answer in a hundred."""
        row, = bench_json(run, "--what", "load", "--url", stalling_server, "--rate", 200,
                          "--connections", 1, "--seconds", 3)
        assert row["errors"] == 0
        assert row["requests"] > 400
        assert row["max_ms"] >= 300
        assert row["p50_ms"] >= 10

    def test_errors_are_counted_and_the_first_is_told(self, run, serve, tiny_model, texts):
        server = serve(tiny_model, "--no-truncate", "--max-length", 4)
        rows = bench_json(run, "--what", "load", "--url", f"http://127.0.0.1:{server.port}",
                          "--concurrency", 2, "--data", texts, "--text-column", "review",
                          "--seconds", 0.5)
        assert 0 < rows[0]["errors"] < rows[0]["requests"]
        assert "400" in rows[0]["first_error"]

    def test_a_server_that_answers_nothing_right_is_an_error(self, run, serve, tiny_model):
        done = run("bench", "--what", "load", "--url",
                   f"http://127.0.0.1:{serve(tiny_model).port}/nowhere", "--seconds", 0.2)
        assert done.returncode == 1
        assert "404" in done.stderr

    def test_nobody_listens(self, run):
        done = run("bench", "--what", "load", "--url", "http://127.0.0.1:1", "--seconds", 0.2)
        assert done.returncode == 1
        assert "cannot connect to 127.0.0.1:1" in done.stderr

    def test_its_server_ends_with_it(self, bertie, tiny_model):
        bench = subprocess.Popen([str(bertie), "bench", str(tiny_model), "--what", "load",
                                  "--concurrency", "1", "--seconds", "60"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not (children := descendants(bench.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        assert children
        bench.kill()
        bench.wait()
        while not all(gone(child) for child in children) and time.monotonic() < end + 20:
            time.sleep(0.05)
        assert all(gone(child) for child in children)


class TestPage:
    def test_the_page_stands_alone(self, run, tiny_model, tmp_path):
        page = tmp_path / "bench.html"
        done = run("bench", tiny_model, "--what", "latency,load", "--lengths", "4,8,16", "--rate",
                   "50,100", "--seconds", 0.3, "--html", page)
        assert done.returncode == 0, done.stderr
        text = page.read_text()
        assert text.startswith("<!DOCTYPE html>")
        assert text.count("<svg") == 2
        assert "prefers-color-scheme: dark" in text
        assert "Latency by load" in text
        for name in ("p50", "p99", "p99.9"):
            assert f">{name}</text>" in text
        assert not re.search(r"""(src|href)\s*=|url\(|@import|<script""", text)
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            xml.etree.ElementTree.fromstring(svg)
            assert "nan" not in svg and "inf" not in svg

    def test_a_folder_that_is_not_there_is_told_before_measuring(self, run, tiny_model, tmp_path):
        start = time.monotonic()
        done = run("bench", tiny_model, "--seconds", 30, "--html", tmp_path / "no" / "page.html")
        assert done.returncode == 1
        assert "page.html" in done.stderr
        assert time.monotonic() - start < 20
