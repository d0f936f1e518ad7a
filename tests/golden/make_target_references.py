"""Makes targets.safetensors: multi-label classification and regression, as transformers trains them.

The model and the batches are those of tiny/, the recipe is the one that README.md names; the loss is
the one that BertForSequenceClassification computes by its problem_type, and for weighted_multi_label
PyTorch's BCEWithLogitsLoss(pos_weight).
"""

import pathlib

import torch
import transformers
from safetensors.torch import load_file

from make_references import EPS, LEARNING_RATE, MAX_GRAD_NORM, STEPS, WARMUP_STEPS, WEIGHT_DECAY, padded, save_tensors
from make_weighted_reference import batches

HERE = pathlib.Path(__file__).resolve().parent
POSITIVE_WEIGHTS = [0.5, 2.0, 1.25]


def make_model(kind):
    """tiny/ with its three labels, or for a regression with the first one's row of the head alone."""
    regression = kind == "regression"
    model = transformers.BertForSequenceClassification.from_pretrained(
        HERE / "tiny", attn_implementation="eager",
        problem_type="regression" if regression else "multi_label_classification")
    if regression:
        head = torch.nn.Linear(model.config.hidden_size, 1)
        head.weight.data.copy_(model.classifier.weight[:1])
        head.bias.data.copy_(model.classifier.bias[:1])
        model.classifier, model.num_labels, model.config.num_labels = head, 1, 1
    return model.train()  # its dropout is 0


def make_targets(kind, rows, generator):
    if kind == "regression":
        return torch.randn(rows, generator=generator) * 2 + 1
    return (torch.rand(rows, 3, generator=generator) < 0.4).float()


def train(kind, out):
    model = make_model(kind)
    decayed, spared = [], []
    for name, parameter in model.named_parameters():
        (spared if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}],
        lr=LEARNING_RATE, eps=EPS)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    weighted = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(POSITIVE_WEIGHTS))
    generator = torch.Generator().manual_seed(5)
    losses, norms = [], []
    for step, (sentences, labels) in enumerate(batches(load_file(HERE / "tiny" / "reference.safetensors"))):
        targets = make_targets(kind, len(labels), generator)
        out[f"{kind}.targets.{step}"] = targets
        optimizer.zero_grad()
        answer = model(**padded(sentences), labels=targets)
        loss = weighted(answer.logits, targets) if kind.startswith("weighted") else answer.loss
        loss.backward()
        if step == 0 and not kind.startswith("weighted"):
            out.update({f"{kind}.grad.{name}": p.grad.clone() for name, p in model.named_parameters()})
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM).item())
        losses.append(loss.item())
        optimizer.step()
        schedule.step()
    out[f"{kind}.losses"], out[f"{kind}.grad_norms"] = torch.tensor(losses), torch.tensor(norms)
    for name, parameter in model.classifier.named_parameters():
        out[f"{kind}.final.classifier.{name}"] = parameter.detach()


def main():
    torch.set_num_threads(1)
    out = {"positive_weights": torch.tensor(POSITIVE_WEIGHTS)}
    for kind in ("multi_label", "weighted_multi_label", "regression"):
        train(kind, out)
    save_tensors(out, HERE / "targets.safetensors")


if __name__ == "__main__":
    main()
