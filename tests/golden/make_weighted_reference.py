"""Makes class_weights.json: the ten training steps of tiny/ with PyTorch's weighted cross-entropy.

The batches are those of tiny/reference.safetensors; the recipe is the one that README.md names.
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file

from make_references import EPS, LEARNING_RATE, MAX_GRAD_NORM, STEPS, WARMUP_STEPS, WEIGHT_DECAY, padded

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = [0.5, 2.0, 1.25]


def batches(reference):
    for step in range(STEPS):
        prefix = f"step.{step}."
        ends = reference[prefix + "cumulative_seq_lengths"].tolist()
        ids, types = (reference[prefix + name].tolist() for name in ("token_ids", "type_ids"))
        sentences = [(ids[a:b], types[a:b]) for a, b in zip(ends, ends[1:])]
        yield sentences, reference[prefix + "labels"].long()


def main():
    torch.set_num_threads(1)
    model = transformers.BertForSequenceClassification.from_pretrained(
        HERE / "tiny", attn_implementation="eager").train()  # its dropout is 0
    decayed, spared = [], []
    for name, parameter in model.named_parameters():
        (spared if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}],
        lr=LEARNING_RATE, eps=EPS)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    cross_entropy = torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))
    losses, norms = [], []
    for sentences, labels in batches(load_file(HERE / "tiny" / "reference.safetensors")):
        optimizer.zero_grad()
        loss = cross_entropy(model(**padded(sentences)).logits, labels)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM).item())
        losses.append(loss.item())
        optimizer.step()
        schedule.step()
    final = {name: [float(f"{x:.9g}") for x in parameter.detach().flatten().tolist()]
             for name, parameter in model.classifier.named_parameters()}
    (HERE / "class_weights.json").write_text(json.dumps(
        {"weights": WEIGHTS, "losses": losses, "grad_norms": norms, "final": final}) + "\n")


if __name__ == "__main__":
    main()
