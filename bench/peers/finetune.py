#!/usr/bin/env python3
"""Fine-tunes a BERT on CoLA with PyTorch and transformers; prints speed and accuracy as JSON lines.

usage: finetune.py --cola RAW_FOLDER --model FOLDER (--epochs N | --steps N) [--mode best|notebook]
                   [--seeds 1,2,3] [--batch 32] [--lr 5e-5] [--threads 2]

--mode notebook pads every sentence to 64 tokens, as a usual notebook does, and computes in fp32.
--mode best sorts sentences by length within groups of 50 batches, pads each batch to its longest
sentence, and computes in bf16 where the processor has instructions for it (else in fp32).
Both: AdamW (decay 0.01, eps 1e-8), constant rate, gradients clipped to norm 1, the model's dropout.
"""

import argparse
import json
import math
import pathlib
import random
import time

import numpy
import torch
from transformers import BertForSequenceClassification, BertTokenizerFast

MAX_LENGTH = 64
BATCHES_SORTED_TOGETHER = 50


def read_cola(file, tokenizer):
    """(label, token ids) of each line: source, label, author's mark, sentence."""
    examples = []
    for line in file.read_text(encoding="utf-8").splitlines():
        _, label, _, sentence = line.split("\t")
        ids = tokenizer(sentence, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        examples.append((int(label), ids))
    return examples


def collate(examples, pad_to):
    width = pad_to or max(len(ids) for _, ids in examples)
    input_ids = torch.zeros(len(examples), width, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for row, (_, ids) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask, torch.tensor([label for label, _ in examples])


def epoch_batches(examples, size, mode):
    order = random.sample(examples, len(examples))
    if mode == "best":
        group = size * BATCHES_SORTED_TOGETHER
        order = [example for start in range(0, len(order), group)
                 for example in sorted(order[start : start + group], key=lambda e: len(e[1]))]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if mode == "best":
        random.shuffle(batches)
    return batches


def processor_has_bf16():
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def metrics(labels, predictions):
    pairs = list(zip(labels, predictions))
    tp, tn = pairs.count((1, 1)), pairs.count((0, 0))
    fp, fn = pairs.count((0, 1)), pairs.count((1, 0))
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp + tn) / len(pairs), (tp * tn - fp * fn) / root if root else 0.0


class Run:
    def __init__(self, arguments, seed):
        self.arguments = arguments
        self.bf16 = arguments.mode == "best" and processor_has_bf16()
        self.pad_to = MAX_LENGTH if arguments.mode == "notebook" else None
        torch.manual_seed(seed)
        random.seed(seed)
        numpy.random.seed(seed)
        self.model = BertForSequenceClassification.from_pretrained(arguments.model, num_labels=2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=arguments.lr, eps=1e-8)

    def train(self, batches):
        """Sentences a second and the mean loss over these batches."""
        self.model.train()
        losses, sentences, started = [], 0, time.monotonic()
        for batch in batches:
            input_ids, attention_mask, labels = collate(batch, self.pad_to)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = self.model(
                    input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            sentences += len(batch)
            losses.append(loss.item())
        return sentences / (time.monotonic() - started), sum(losses) / len(losses)

    def evaluate(self, examples):
        self.model.eval()
        predictions = []
        with torch.inference_mode():
            for start in range(0, len(examples), 64):
                input_ids, attention_mask, _ = collate(examples[start : start + 64], None)
                logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
                predictions += logits.argmax(1).tolist()
        return metrics([label for label, _ in examples], predictions)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cola", type=pathlib.Path, required=True, help="folder of CoLA's raw tsv")
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--mode", choices=["best", "notebook"], default="best")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=int)
    length.add_argument("--steps", type=int, help="only measure speed over this many batches")
    parser.add_argument("--seeds", default="1", help="comma between them")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    tokenizer = BertTokenizerFast.from_pretrained(arguments.model)
    train = read_cola(arguments.cola / "in_domain_train.tsv", tokenizer)
    dev = read_cola(arguments.cola / "in_domain_dev.tsv", tokenizer)
    for seed in (int(s) for s in arguments.seeds.split(",")):
        run = Run(arguments, seed)
        row = {"engine": "pytorch", "model": arguments.model.name, "mode": arguments.mode,
               "dtype": "bf16" if run.bf16 else "fp32", "threads": arguments.threads, "seed": seed,
               "batch": arguments.batch, "lr": arguments.lr}
        if arguments.steps:
            batches = epoch_batches(train, arguments.batch, arguments.mode)
            run.train(batches[:1])  # first touch of memory is not training speed
            rate, loss = run.train(batches[1 : 1 + arguments.steps])
            print(json.dumps(row | {"steps": arguments.steps, "sentences_per_s": round(rate, 2),
                                    "loss": round(loss, 4)}), flush=True)
            continue
        for epoch in range(1, arguments.epochs + 1):
            rate, loss = run.train(epoch_batches(train, arguments.batch, arguments.mode))
            accuracy, mcc = run.evaluate(dev)
            print(json.dumps(row | {"epoch": epoch, "sentences_per_s": round(rate, 1),
                                    "loss": round(loss, 4), "dev_accuracy": round(accuracy, 4),
                                    "dev_mcc": round(mcc, 4)}), flush=True)


if __name__ == "__main__":
    main()
