#!/usr/bin/env python3
"""Runs one model in one engine, in a process of its own.

usage: engines.py ENGINE MODEL THREADS latency LENGTHS SECONDS   one JSON line a length
       engines.py ENGINE MODEL THREADS logits FILE               JSON: logits of each line of FILE
ENGINE is openvino, onnxruntime or pytorch, all in fp32; MODEL a folder that models.py made.
"""

import json
import os
import pathlib
import sys
import time

THREADS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # read when numpy and torch are imported

import numpy as np  # noqa: E402

WARM_UP_RUNS = 5


def openvino(model):
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(f"{model}.onnx"), "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
         "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda inputs: request.infer(inputs)[0]


def onnxruntime(model):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(
        f"{model}.optimized.onnx", options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def pytorch(model):
    import torch
    from transformers import BertForSequenceClassification

    torch.set_num_threads(THREADS)
    classifier = BertForSequenceClassification.from_pretrained(model).eval()

    def run(inputs):
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
            return classifier(**tensors).logits.numpy()

    return run


def inputs_for(ids):
    input_ids = np.asarray([ids], dtype=np.int64)
    return {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids),
            "token_type_ids": np.zeros_like(input_ids)}


def latency(run, lengths, seconds):
    random = np.random.default_rng(0)
    for length in lengths:
        inputs = inputs_for(random.integers(1000, 30000, length))
        for _ in range(WARM_UP_RUNS):
            run(inputs)
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end or len(times) < 10:
            start = time.perf_counter()
            run(inputs)
            times.append((time.perf_counter() - start) * 1e3)
        times.sort()
        print(json.dumps({"engine": sys.argv[1], "threads": THREADS, "tokens": length,
                          "p50_ms": round(times[len(times) // 2], 3),
                          "min_ms": round(times[0], 3)}), flush=True)


def logits(run, model, file):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
    print(json.dumps([run(inputs_for(tokenizer.encode(line).ids))[0].tolist() for line in lines]))


def main():
    engine, model, _, task, *rest = sys.argv[1:]
    run = {"openvino": openvino, "onnxruntime": onnxruntime, "pytorch": pytorch}[engine](model)
    if task == "latency":
        latency(run, [int(n) for n in rest[0].split(",")], float(rest[1]))
    else:
        logits(run, model, rest[0])


if __name__ == "__main__":
    main()
