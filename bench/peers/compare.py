#!/usr/bin/env python3
"""Runs bertie and its peers in turn and prints tables: latency, training speed, the machine's limit.

usage: compare.py --bertie BINARY --models FOLDER --peak BINARY [--cola FOLDER] [options]
bench/peers/run prepares all of that and calls this. Every engine gets fresh processes, and the
engines take turns several times over, so that a busy moment of the machine hits none of them alone;
a figure is the best turn's median, and "worst/best" says how far the turns were apart.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PEERS = ["openvino", "onnxruntime", "pytorch"]
MODELS = ["bert-base-random", "minilm-l6"]
LENGTHS = [8, 16, 32, 64, 128]
# Multiply-adds a token outside attention's score products, for the arithmetic limit below.
ENCODER_WEIGHTS = {"bert-base-random": 85.0e6, "minilm-l6": 10.6e6}
LOGIT_TOLERANCE = 1e-4
CHECK_SENTENCES = [
    "It rained.",
    "Who does John visit Sally because he likes?",
    "The more you would want, the less you would eat.",
    "A café in Zürich charged $4.50 for naïve coffee in 2019!",
    "I don't think that anybody who hasn't read the book's first chapter could answer it.",
    "If the weather holds until Friday, the whole of the wheat in the lower field will be brought "
    "in, threshed, and stored before the feast, which is what the old man had always wanted.",
]


def run_lines(command):
    """The JSON objects that a command prints, one a line."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n"
                         f"{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def bertie_logits(bertie, model):
    port = free_port()
    server = subprocess.Popen([bertie, "serve", model, "--port", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise SystemExit(f"bertie serve ended: {server.stderr.read()}")
                time.sleep(0.1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(CHECK_SENTENCES).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    finally:
        server.terminate()
        server.wait()


def check_agreement(arguments, models):
    print("\nlargest difference of any logit from PyTorch's, "
          f"{len(CHECK_SENTENCES)} sentences (allowed: {LOGIT_TOLERANCE}):")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(CHECK_SENTENCES) + "\n")
        file.flush()
        for model in models:
            path = arguments.models / model
            answers = {engine: run_lines([sys.executable, HERE / "engines.py", engine, path, 2,
                                          "logits", file.name])[0] for engine in PEERS}
            answers["bertie"] = bertie_logits(arguments.bertie, path)
            truth = answers.pop("pytorch")
            for engine, rows in answers.items():
                difference = max(abs(a - b) for row, expected in zip(rows, truth, strict=True)
                                 for a, b in zip(row, expected, strict=True))
                print(f"  {model:17} {engine:12} {difference:.2e}")
                if difference > LOGIT_TOLERANCE:
                    raise SystemExit(f"{engine} does not compute what PyTorch does; not comparing")


def latency_command(arguments, engine, model, threads):
    path = arguments.models / model
    lengths = ",".join(map(str, LENGTHS))
    if engine == "bertie":
        return [arguments.bertie, "bench", path, "--threads", threads, "--lengths", lengths,
                "--seconds", arguments.seconds, "--json"]
    return [sys.executable, HERE / "engines.py", engine, path, threads, "latency", lengths,
            arguments.seconds]


def measure_latency(arguments, model, threads):
    """{engine: {tokens: [p50 of each turn]}}"""
    engines = ["bertie"] + PEERS
    turns = {engine: {tokens: [] for tokens in LENGTHS} for engine in engines}
    for turn in range(arguments.turns):
        for engine in engines:
            for row in run_lines(latency_command(arguments, engine, model, threads)):
                turns[engine][row["tokens"]].append(row["p50_ms"])
        print(f"  {model}, {threads} thread(s): turn {turn + 1} of {arguments.turns}",
              file=sys.stderr)
    return turns


def print_row(name, values, form=".2f"):
    print(f"  {name:22}" + "".join(f"{value:9{form}}" for value in values))


def print_latency(arguments, model, threads, limit):
    turns = measure_latency(arguments, model, threads)
    best = {engine: {n: min(times) for n, times in lengths.items()}
            for engine, lengths in turns.items()}
    spread = max(max(times) / min(times) for lengths in turns.values()
                 for times in lengths.values())
    print(f"\n{model}, {threads} thread(s), one sentence, p50 in ms "
          f"(worst/best turn up to {spread:.2f})")
    print_row("tokens", LENGTHS, "d")
    for engine, lengths in best.items():
        print_row(engine, lengths.values())
    for peer in PEERS:
        print_row(f"bertie / {peer}", [best["bertie"][n] / best[peer][n] for n in LENGTHS])
    weights = ENCODER_WEIGHTS[model]
    # bert-base's weights do not fit a cache, so each sentence has to read them from memory.
    reading = 4 * weights / (limit["read_gb_s"] * 1e9) if model == "bert-base-random" else 0.0
    bounds = [max(2 * weights * n / (limit["gflops"] * 1e9), reading) * 1e3 for n in LENGTHS]
    print_row("limit", bounds)


def training_sample(cola, sentences, folder):
    """A csv of CoLA's first training sentences, for bertie."""
    file = pathlib.Path(folder) / "train.csv"
    with open(file, "w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["sentence", "label"])
        lines = (cola / "in_domain_train.tsv").read_text(encoding="utf-8").splitlines()
        for line in lines[:sentences]:
            _, label, _, sentence = line.split("\t")
            rows.writerow([sentence, label])
    return file


def print_training(arguments, steps=8, batch=64):
    model = arguments.models / "bert-base-random"
    print(f"\nbert-base, fine-tuning on CoLA, batches of {batch}, 2 threads, sentences/s")
    rates = {}
    for mode in ("notebook", "best"):
        few = 2 if mode == "notebook" else steps
        row = run_lines([sys.executable, HERE / "finetune.py", "--cola", arguments.cola, "--model",
                         model, "--mode", mode, "--steps", few, "--batch", batch, "--lr", "2e-5"])[0]
        rates[f"pytorch, {mode} ({row['dtype']})"] = row["sentences_per_s"]
    with tempfile.TemporaryDirectory() as folder:
        train = training_sample(arguments.cola, batch * steps, folder)
        out = pathlib.Path(folder) / "out"
        command = [arguments.bertie, "train", "--model", model, "--train", train, "--out", out,
                   "--epochs", 1, "--batch-size", batch, "--lr", "2e-5", "--max-length", 64,
                   "--threads", 2, "--holdout", 0, "--no-archive"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bertie train failed: {done.stderr[-2000:]}")
        history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        rates["bertie (fp32)"] = next(
            e["sentences_per_s"] for e in history if e["event"] == "epoch")
    for name, rate in rates.items():
        print(f"  {name:26} {rate:8.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bertie", required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--peak", required=True)
    parser.add_argument("--cola", type=pathlib.Path, help="CoLA's raw tsv; without it no training")
    parser.add_argument("--only", choices=["latency", "training"])
    parser.add_argument("--model", choices=MODELS, help="latency of this one alone")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="a length and turn, for peers")
    arguments = parser.parse_args()
    threads = [int(n) for n in arguments.threads.split(",")]
    models = [arguments.model] if arguments.model else MODELS

    limits = {n: run_lines([arguments.peak, n])[0] for n in sorted({*threads, 2})}
    processor = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                      if line.startswith("model name")), platform.machine())
    print(f"{processor}, {os.cpu_count()} cores, load before: {os.getloadavg()[0]:.2f}")
    for n, limit in limits.items():
        print(f"limit with {n} thread(s): {limit['gflops']} GFLOP/s in fp32, "
              f"{limit['read_gb_s']} GB/s read from memory")
    if arguments.only != "training":
        check_agreement(arguments, models)
        for model in models:
            for n in threads:
                print_latency(arguments, model, n, limits[n])
    if arguments.only != "latency":
        if arguments.cola:
            print_training(arguments)
        else:
            print("\nno --cola: training not measured")


if __name__ == "__main__":
    main()
