#!/usr/bin/env python3
"""Runs bertie and its peers in turn and prints tables: agreement, latency, throughput, training.

bench/peers/run prepares what it needs and calls it. Every engine gets fresh processes, and the
engines take turns several times over, so that a busy moment of the machine hits none of them alone;
a figure is the best turn's, and "worst/best" says how far the turns were apart. "times the best
peer" above 1: bertie is ahead of the fastest engine of that column. "of the limit": the share of
what the machine's arithmetic, or its memory where that is slower, allows without attention.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import http_load
from agreement import check_agreement, engine_name
from common import (HERE, MODELS, PEERS, PRECISIONS, Bertie, CannotRun, Limits, Report,
                    cola_sentences, machine_line, peer_command, run_lines)

LENGTHS = [8, 16, 32, 64, 128]
PARTS = ["agreement", "latency", "throughput", "http", "training"]


def take_turns(options, title, threads, engines):
    """({engine: {key: [value of each turn]}}, notes): engines maps names to functions that measure
    once and return {key: value}."""
    turns, notes = {name: {} for name in engines}, []
    for turn in range(options.turns):
        options.limits.measure_again(threads)
        for name, measure in list(engines.items()):
            try:
                for key, value in measure().items():
                    turns[name].setdefault(key, []).append(value)
            except CannotRun as reason:
                notes.append(f"{name}: {reason}")
                del engines[name], turns[name]
        print(f"  {title}: turn {turn + 1} of {options.turns}", file=sys.stderr)
    return turns, notes


def spread(turns):
    ratios = [max(values) / min(values) for keys in turns.values() for values in keys.values()]
    return max(ratios, default=1.0)


def latency_engines(options, model, precision, threads):
    path, lengths = options.model_folder / model, ",".join(map(str, LENGTHS))

    def by_tokens(rows):
        return {row["tokens"]: row["p50_ms"] for row in rows}

    def peer(engine, kind):
        command = peer_command(engine, kind, path, threads, "latency", lengths, options.seconds)
        return lambda: by_tokens(run_lines(command))

    def ours():
        return by_tokens(options.bertie.bench(precision, path, "--what", "latency", "--threads",
                                              threads, "--lengths", lengths, "--seconds",
                                              options.seconds))

    peers = {engine_name(engine, kind): peer(engine, kind) for engine, kind in PEERS[precision]}
    return {"bertie": ours, **peers}


def compare_latency(options, report, model, precision, threads):
    title = f"{model}, {precision}, {threads} thread(s), one sentence, p50 in ms"
    turns, notes = take_turns(options, title, threads,
                              latency_engines(options, model, precision, threads))
    best = {name: [min(keys[n]) for n in LENGTHS] for name, keys in turns.items()}
    rows = [(name, [f"{value:.2f}" for value in values]) for name, values in best.items()]
    ours = best.pop("bertie", None)
    if ours and best:
        peers = [min(values) for values in zip(*best.values(), strict=True)]
        rows.append(("times the best peer",
                     [f"{peer / our:.2f}" for peer, our in zip(peers, ours, strict=True)]))
    limits = [options.limits.sentence_s(model, precision, threads, n) * 1e3 for n in LENGTHS]
    rows.append(("limit", [f"{limit:.2f}" for limit in limits]))
    if ours:
        rows.append(("bertie, of the limit",
                     [f"{limit / our:.0%}" for limit, our in zip(limits, ours, strict=True)]))
    report.table(f"{title} (worst/best turn up to {spread(turns):.2f})",
                 [str(n) for n in LENGTHS], rows, notes)


def compare_throughput(options, report, model, precision, threads=2):
    sentences = cola_sentences(options.cola)
    path = options.model_folder / model
    tokens = 0

    def ours():
        nonlocal tokens
        rows = options.bertie.bench(precision, path, "--what", "throughput", "--data", file.name,
                                    "--threads", threads, "--seconds", options.seconds)
        tokens = rows[0]["tokens"]
        return {row["order"]: row["best_sentences_per_s"] for row in rows}

    def peer(engine, kind):
        command = peer_command(engine, kind, path, threads, "throughput", file.name,
                               2 * options.seconds)
        return lambda: {row["order"]: row["best_sentences_per_s"] for row in run_lines(command)}

    title = f"{model}, {precision}, {threads} threads, {len(sentences)} sentences of CoLA"
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(sentences) + "\n")
        file.flush()
        peers = {engine_name(engine, kind): peer(engine, kind)
                 for engine, kind in PEERS[precision]}
        turns, notes = take_turns(options, title, threads, {"bertie": ours, **peers})
    best = {name: {key: max(values) for key, values in keys.items()}
            for name, keys in turns.items()}
    rows = [(name, [f"{keys[order]:.1f}" if order in keys else "-"
                    for order in ("sorted", "random")]) for name, keys in best.items()]
    our = best.pop("bertie", None)
    if our and best:
        fastest = max(keys["sorted"] for keys in best.values())
        rows.append(("times the best peer", [f"{our[order] / fastest:.2f}"
                                             for order in ("sorted", "random")]))
    if our:
        limit = len(sentences) / options.limits.arithmetic_s(model, precision, threads, tokens)
        rows.append(("limit", [f"{limit:.1f}"] * 2))
        rows.append(("bertie, of the limit", [f"{our[order] / limit:.0%}"
                                              for order in ("sorted", "random")]))
    report.table(f"{title}, sentences/s (worst/best turn up to {spread(turns):.2f})",
                 ["sorted", "random"], rows, notes)


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


def bertie_training_rate(options, model, train, batch, flags):
    """Sentences a second of the last epoch, of which there is one unless flags say otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        command = [options.bertie.binary, "train", "--model", model, "--train", train, "--out", out,
                   "--batch-size", batch, "--lr", "2e-5", "--max-length", 64, "--threads", 2,
                   "--holdout", 0, "--no-archive", "--no-report", "--keep", 0, *flags]
        if "--epochs" not in flags:
            command += ["--epochs", 1]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bertie train failed: {done.stderr[-2000:]}")
        history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        return [e["sentences_per_s"] for e in history if e["event"] == "epoch"][-1]


def compare_training(options, report, steps=32, batch=64):
    model = options.model_folder / "bert-base-random"
    rates = {}
    for mode in ("notebook", "best"):
        few = 2 if mode == "notebook" else steps
        row = run_lines([sys.executable, HERE / "finetune.py", "--cola", options.cola, "--model",
                         model, "--mode", mode, "--steps", few, "--batch", batch, "--lr", "2e-5"])[0]
        rates[f"pytorch, {mode} ({row['dtype']})"] = row["sentences_per_s"]
    variants = {"bertie (fp32)": []}
    if "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
        variants["bertie (bf16)"] = ["--precision", "bf16"]
    variants["bertie, 6 layers frozen, from the second epoch"] = ["--freeze-layers", 6, "--epochs", 2]
    variants["bertie, LoRA of rank 8"] = ["--lora-rank", 8]
    with tempfile.TemporaryDirectory() as folder:
        train = training_sample(options.cola, batch * steps, folder)
        for name, flags in variants.items():
            rates[name] = bertie_training_rate(options, model, train, batch, flags)
    report.table(f"bert-base, fine-tuning on CoLA, batches of {batch}, 2 threads", ["sentences/s"],
                 [(name, [f"{rate:.1f}"]) for name, rate in rates.items()])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])

    def choices(allowed):
        def parse(text):
            chosen = text.split(",")
            for one in chosen:
                if one not in allowed:
                    raise argparse.ArgumentTypeError(
                        f"found {one!r}; expected some of {', '.join(allowed)}")
            return chosen
        return parse

    parser.add_argument("--bertie", type=Bertie, required=True, help="the program")
    parser.add_argument("--models", dest="model_folder", type=pathlib.Path, required=True,
                        help="the folder that models.py made")
    parser.add_argument("--peak", required=True, help="the program that measures the limits")
    parser.add_argument("--cola", type=pathlib.Path,
                        help="CoLA's raw tsv; without it neither throughput, http nor training")
    parser.add_argument("--only", type=choices(PARTS), default=PARTS,
                        help=f"some of {','.join(PARTS)}")
    parser.add_argument("--model", dest="models", type=choices(MODELS), default=MODELS)
    parser.add_argument("--precision", dest="precisions", type=choices(PRECISIONS),
                        default=PRECISIONS)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")],
                        default=[1, 2])
    parser.add_argument("--turns", type=int, help="default: 3")
    parser.add_argument("--seconds", type=float, help="of each figure and turn; default: 1.5")
    parser.add_argument("--quick", action="store_true",
                        help="one turn of 0.3 s: whether everything runs, no figures to keep")
    parser.add_argument("--markdown", help="write the tables into this file too")
    options = parser.parse_args()
    options.turns = options.turns or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.3 if options.quick else 1.5)
    return options


def main():
    options = parse_arguments()
    options.limits = Limits(options.peak, sorted({*options.threads, 2}))
    report = Report()
    report.text(machine_line())
    wanted = set(options.only)
    if not options.cola:
        report.text("no --cola: neither throughput, http nor training measured")
        wanted -= {"throughput", "http", "training"}
    if "agreement" in wanted:
        check_agreement(options, report)
    for model in options.models:
        for precision in options.precisions:
            if "latency" in wanted:
                for threads in options.threads:
                    compare_latency(options, report, model, precision, threads)
            if "throughput" in wanted:
                compare_throughput(options, report, model, precision)
        if "http" in wanted:
            http_load.compare_http(options, report, model)
    if "training" in wanted:
        compare_training(options, report)
    for line in options.limits.describe():
        report.text(line)
    if options.markdown:
        report.save(options.markdown)


if __name__ == "__main__":
    main()
