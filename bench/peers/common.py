"""What the comparisons share: running programs, a bertie server, the machine's limits, tables."""

import contextlib
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ["bert-base-random", "minilm-l6"]
PRECISIONS = ["fp32", "bf16", "int8"]
# (engine, precision as engines.py knows it) of each precision.
PEERS = {
    "fp32": [("openvino", "fp32"), ("onnxruntime", "fp32"), ("pytorch", "fp32"),
             ("ctranslate2", "fp32")],
    "bf16": [("openvino", "bf16"), ("onnxruntime", "bf16"), ("pytorch", "bf16"),
             ("ctranslate2", "bf16")],
    "int8": [("openvino", "int8"), ("openvino", "int8-static"), ("onnxruntime", "int8"),
             ("pytorch", "int8"), ("ctranslate2", "int8")],
}


class CannotRun(Exception):
    """Why an engine does not take part."""


def run_lines(command):
    """The JSON values that a command prints, one a line."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["(no word)"]
        raise CannotRun(f"exit code {done.returncode}: {words[-1][:300]}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    if rows and isinstance(rows[0], dict) and "unsupported" in rows[0]:
        raise CannotRun(rows[0]["unsupported"])
    return rows


def peer_command(engine, precision, model, threads, *task):
    return [sys.executable, HERE / "engines.py", engine, precision, model, threads, *task]


class Bertie:
    """The program under test."""

    def __init__(self, binary):
        self.binary = binary
        help_text = subprocess.run([binary, "bench", "--help"], capture_output=True, text=True,
                                   check=True).stdout
        self.has_precisions = "--precision" in help_text

    def precision_flags(self, precision):
        if precision is None:
            return []
        if self.has_precisions:
            return ["--precision", precision]
        if precision != "fp32":
            raise CannotRun("this build's `bertie bench` has no --precision")
        return []

    def bench(self, precision, *arguments):
        """The JSON lines of `bertie bench`; precision: None where it makes no difference. A failure
        of ours ends the comparison."""
        command = [self.binary, "bench", *arguments, *self.precision_flags(precision), "--json"]
        try:
            return run_lines(command)
        except CannotRun as error:
            raise SystemExit(f"{' '.join(map(str, command))}: {error}") from None

    def serve_command(self, model, precision, *flags):
        return [self.binary, "serve", model, *self.precision_flags(precision), *flags]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, ping="/ping", patience=120):
    """A server started with `command` + --port; yields its address once it answers `ping`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([*map(str, command), "--port", str(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + patience
        while True:
            if server.poll() is not None:
                raise CannotRun(f"the server ended: {server.stderr.read()[-500:]}")
            try:
                urllib.request.urlopen(url + ping, timeout=2).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise CannotRun(f"no answer from the server within {patience} s") from None
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.communicate()


def post(url, value):
    request = urllib.request.Request(url + "/invocations", json.dumps(value).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def cola_sentences(cola):
    """The sentences of CoLA's in-domain dev file: source, label, author's mark, sentence."""
    lines = (cola / "in_domain_dev.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[3].strip() for line in lines]


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()


class Limits:
    """What the machine could do at best, from the program peak."""

    # Multiply-adds a token outside attention's score products.
    WEIGHTS = {"bert-base-random": 85.0e6, "minilm-l6": 10.6e6}
    BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
    RATES = {"fp32": "gflops", "bf16": "bf16_gflops", "int8": "int8_gops"}

    def __init__(self, peak, threads):
        self.peak = peak
        self.measured = {n: run_lines([peak, n])[0] for n in threads}

    def measure_again(self, threads):
        """The best that was seen counts: a busy moment must not make the machine look small."""
        for key, value in run_lines([self.peak, threads])[0].items():
            if key in ("read_gb_s", *self.RATES.values()):
                self.measured[threads][key] = max(value, self.measured[threads][key])

    def describe(self):
        for n, limit in self.measured.items():
            yield (f"limit with {n} thread(s): {limit['gflops']} GFLOP/s in fp32, "
                   f"{limit['bf16_gflops']} in bf16, {limit['int8_gops']} Gop/s in int8, "
                   f"{limit['read_gb_s']} GB/s read from memory")

    def arithmetic_s(self, model, precision, threads, tokens):
        rate = self.measured[threads][self.RATES[precision]] * 1e9
        return 2 * self.WEIGHTS[model] * tokens / rate

    def sentence_s(self, model, precision, threads, tokens):
        """Of one sentence: bert-base's weights fit no cache and are read from memory each time."""
        reading = 0.0
        if model == "bert-base-random":
            rate = self.measured[threads]["read_gb_s"] * 1e9
            reading = self.BYTES[precision] * self.WEIGHTS[model] / rate
        return max(self.arithmetic_s(model, precision, threads, tokens), reading)


class Report:
    """Prints tables as they come, and keeps them as Markdown."""

    def __init__(self):
        self.markdown = []

    def text(self, line):
        print(line, flush=True)
        self.markdown.append(line + "\n")

    def table(self, title, header, rows, notes=()):
        """rows: (name, values as text)."""
        name_width = max(len(name) for name, _ in rows)
        print(f"\n{title}")
        for name, values in [("", header), *rows]:
            print(f"  {name:{name_width}}" + "".join(f"{value:>10}" for value in values))
        for note in notes:
            print(f"  {note}")
        sys.stdout.flush()
        lines = ["| | " + " | ".join(header) + " |", "|---" * (len(header) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(values) + " |" for name, values in rows]
        self.markdown.append("\n".join([f"**{title}**", "", *lines, *["", *notes][: 2 * len(notes)],
                                        ""]))

    def save(self, file):
        pathlib.Path(file).write_text("\n".join(self.markdown), encoding="utf-8")


def machine_line():
    return (f"{processor()}, {os.cpu_count()} processors, load before: "
            f"{os.getloadavg()[0]:.2f}, {time.strftime('%Y-%m-%d')}")
