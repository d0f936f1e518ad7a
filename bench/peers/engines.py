#!/usr/bin/env python3
"""Runs one model in one engine, in a process of its own.

usage: engines.py ENGINE PRECISION MODEL THREADS latency LENGTHS SECONDS   a JSON line a length
       engines.py ENGINE PRECISION MODEL THREADS throughput FILE SECONDS   one JSON line
       engines.py ENGINE PRECISION MODEL THREADS logits FILE               JSON: logits of each line
ENGINE is openvino, onnxruntime, pytorch or ctranslate2; PRECISION fp32, bf16 or int8, and for
openvino int8-static too; MODEL a folder that models.py made; FILE holds one text a line. Where an
engine has not this precision here, it prints {"unsupported": REASON}.

Each engine runs as its makers advise for one request at a time: OpenVINO with the latency hint and
one stream, ONNX Runtime with its fused BERT graph, int8 with one scale a channel.
"""

import json
import os
import pathlib
import sys
import time

THREADS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # read when numpy and torch are imported

import numpy as np  # noqa: E402

WARM_UP_RUNS = 5
BATCH = 32


class Unsupported(Exception):
    pass


def openvino(model, precision):
    import openvino as ov

    core = ov.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("this processor has no bf16 instructions; it would compute in fp32")
    file = {"int8": f"{model}.int8.xml", "int8-static": f"{model}.static.xml"}.get(
        precision, f"{model}.onnx")
    compiled = core.compile_model(
        core.read_model(file), "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
         "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"})
    request = compiled.create_infer_request()
    return lambda inputs: request.infer(inputs)[0]


def onnxruntime(model, precision):
    import onnxruntime as ort

    if precision == "bf16":
        raise Unsupported("its operators for processors take no bf16")
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    file = f"{model}.int8.onnx" if precision == "int8" else f"{model}.optimized.onnx"
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def pytorch(model, precision):
    import torch
    from transformers import BertForSequenceClassification

    torch.set_num_threads(THREADS)
    classifier = BertForSequenceClassification.from_pretrained(model).eval()
    if precision == "bf16":
        classifier = classifier.to(torch.bfloat16)
    elif precision == "int8":
        classifier = torch.ao.quantization.quantize_dynamic(
            classifier, {torch.nn.Linear}, dtype=torch.qint8)

    def run(inputs):
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
            return classifier(**tensors).logits.float().numpy()

    return run


def ctranslate2(model, precision):
    import ctranslate2 as ct2
    from safetensors.numpy import load_file

    compute = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}[precision]
    if compute not in ct2.get_supported_compute_types("cpu"):
        raise Unsupported(f"it has no {compute} on this processor")
    encoder = ct2.Encoder(f"{model}.ct2", compute_type=compute, intra_threads=THREADS,
                          inter_threads=1)
    # It has no classifier on top of an encoder; two labels cost nothing to speak of.
    head = load_file(f"{model}/model.safetensors")
    weight, bias = head["classifier.weight"], head["classifier.bias"]

    def run(inputs):
        lengths = inputs["attention_mask"].sum(1)
        ids = [row[:int(n)].tolist() for row, n in zip(inputs["input_ids"], lengths, strict=True)]
        pooled = np.array(encoder.forward_batch(ids).pooler_output.to(ct2.DataType.float32))
        return pooled @ weight.T + bias

    return run


ENGINES = {"openvino": openvino, "onnxruntime": onnxruntime, "pytorch": pytorch,
           "ctranslate2": ctranslate2}


def inputs_for(sentences):
    """Padded to the longest of them."""
    width = max(map(len, sentences))
    input_ids = np.zeros((len(sentences), width), dtype=np.int64)
    mask = np.zeros_like(input_ids)
    for row, ids in enumerate(sentences):
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": mask,
            "token_type_ids": np.zeros_like(input_ids)}


def tokenise(model, file):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lines = pathlib.Path(file).read_text(encoding="utf-8").splitlines()
    return [encoding.ids for encoding in tokenizer.encode_batch(lines)]


def latency(run, model, lengths, seconds):
    random = np.random.default_rng(0)
    for length in (int(n) for n in lengths.split(",")):
        inputs = inputs_for([random.integers(1000, 30000, length)])
        for _ in range(WARM_UP_RUNS):
            run(inputs)
        times, end = [], time.monotonic() + float(seconds)
        while time.monotonic() < end or len(times) < 10:
            start = time.perf_counter()
            run(inputs)
            times.append((time.perf_counter() - start) * 1e3)
        times.sort()
        print(json.dumps({"engine": sys.argv[1], "precision": sys.argv[2], "threads": THREADS,
                          "tokens": length, "p50_ms": round(times[len(times) // 2], 3),
                          "min_ms": round(times[0], 3)}), flush=True)


def throughput(run, model, file, seconds):
    sentences = sorted(tokenise(model, file), key=len)
    batches = [inputs_for(sentences[i : i + BATCH]) for i in range(0, len(sentences), BATCH)]
    times, end = [], time.monotonic() + float(seconds)
    while time.monotonic() < end or len(times) < 3:  # the first warms up
        start = time.perf_counter()
        for inputs in batches:
            run(inputs)
        times.append(time.perf_counter() - start)
    print(json.dumps({"engine": sys.argv[1], "precision": sys.argv[2], "threads": THREADS,
                      "what": "throughput", "order": "sorted", "sentences": len(sentences),
                      "tokens": sum(map(len, sentences)),
                      "best_sentences_per_s": round(len(sentences) / min(times[1:]), 2)}))


def logits(run, model, file):
    print(json.dumps([run(inputs_for([ids]))[0].tolist() for ids in tokenise(model, file)]))


def main():
    engine, precision, model, _, task, *rest = sys.argv[1:]
    try:
        run = ENGINES[engine](model, precision)
    except Unsupported as reason:
        print(json.dumps({"unsupported": str(reason)}))
        return
    {"latency": latency, "throughput": throughput, "logits": logits}[task](run, model, *rest)


if __name__ == "__main__":
    main()
