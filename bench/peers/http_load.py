"""`bertie serve` and transformers behind FastAPI under the same load, by `bertie bench`."""

import sys
import tempfile

from common import HERE, CannotRun, cola_sentences, running

CONCURRENCY = 32


def measure(options, command, file, seconds):
    with running(command) as url:
        return options.bertie.bench(None, "--what", "load", "--url", url, "--data", file,
                                    "--concurrency", CONCURRENCY, "--seconds", seconds)[0]


def compare_http(options, report, model):
    """Requests of one sentence each, CoLA's dev sentences in random order, a closed loop."""
    path = options.model_folder / model
    seconds = 2 if options.quick else 10
    servers = {"transformers, FastAPI": lambda: [sys.executable, HERE / "fastapi_server.py", path,
                                                 "--threads", 2]}
    for precision in options.precisions:
        servers[f"bertie {precision}"] = lambda p=precision: options.bertie.serve_command(
            path, p, "--threads", 2)
    best, notes = {}, []
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(cola_sentences(options.cola)) + "\n")
        file.flush()
        for turn in range(options.turns):
            for name, command in list(servers.items()):
                try:
                    row = measure(options, command(), file.name, seconds)
                except CannotRun as reason:
                    notes.append(f"{name}: {reason}")
                    del servers[name]
                    continue
                if name not in best or row["requests_per_s"] > best[name]["requests_per_s"]:
                    best[name] = row
            print(f"  {model}, http: turn {turn + 1} of {options.turns}", file=sys.stderr)
    peer = best.get("transformers, FastAPI", {}).get("requests_per_s")
    rows = []
    for name, row in best.items():
        times = f"{row['requests_per_s'] / peer:.2f}" if peer else "-"
        rows.append((name, [f"{row['requests_per_s']:.1f}", f"{row['p50_ms']:.1f}",
                            f"{row['p99_ms']:.1f}", str(row["errors"]), times]))
    report.table(f"{model}, over HTTP, {CONCURRENCY} clients, one sentence of CoLA a request, in "
                 "random order", ["answers/s", "p50 ms", "p99 ms", "errors", "x FastAPI"], rows,
                 notes)
