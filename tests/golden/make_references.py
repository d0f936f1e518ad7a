#!/usr/bin/env python3
"""Makes the references in this folder with PyTorch and transformers.

usage: make_references.py [--minilm FOLDER]

tiny/ and head64/ are made from seeds alone; minilm.json needs the folder of all-MiniLM-L6-v2 and is
left as it is without one. See README.md for what each file holds and how far a result may differ.
"""

import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
STEPS, WARMUP_STEPS = 10, 2
LEARNING_RATE, WEIGHT_DECAY, EPS, MAX_GRAD_NORM = 1e-3, 0.01, 1e-8, 1.0

SENTENCES = [
    "The sailors rode the breeze clear of the rocks.",
    "The more you would want, the less you would eat.",
    "Who does John visit Sally because he likes?",
    "The box contains the ball from the tree.",
    "It rained.",
    "No.",
    "",
    "They drank the pub dry, and then they went home without a single word to anyone.",
    "I don't think that anybody who hasn't read the book's first chapter could answer it.",
    "A café in Zürich charged $4.50 for naïve coffee in 2019!",
    "UPPER CASE and lower case are the same to an uncased model.",
    "What the police found, in the end, was nothing but an empty house on a quiet street.",
    "antidisestablishmentarianism is a rather long word",
    "Books were sent to each other by the students.",
    "this is , by any measure ; the worst film i have ever seen ...",
    "An absolutely wonderful little story, told with warmth and wit.",
    "e-mail me at someone@example.org (or don't)",
    "If the weather holds until Friday, the whole of the wheat in the lower field will be brought "
    "in, threshed, and stored before the feast, which is what the old man had always wanted to "
    "see with his own eyes.",
    "the the the the the the the the",
    "She said \"never again\" - and meant it.",
]


def save_tensors(tensors, file):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    file.chmod(0o644)


def add_sentences(out, prefix, sentences):
    """Stores sentences (pairs of id list and type list) laid end to end."""
    lengths = [len(ids) for ids, _ in sentences]
    cumulative = [0]
    for length in lengths:
        cumulative.append(cumulative[-1] + length)
    out[prefix + "token_ids"] = torch.tensor(sum((i for i, _ in sentences), []), dtype=torch.int32)
    out[prefix + "type_ids"] = torch.tensor(sum((t for _, t in sentences), []), dtype=torch.int32)
    out[prefix + "cumulative_seq_lengths"] = torch.tensor(cumulative, dtype=torch.int32)


def padded(sentences):
    longest = max(len(ids) for ids, _ in sentences)
    shape = (len(sentences), longest)
    ids, types, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for row, (i, t) in enumerate(sentences):
        ids[row, : len(i)] = torch.tensor(i)
        types[row, : len(t)] = torch.tensor(t)
        mask[row, : len(i)] = 1
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}


def random_sentence(generator, vocabulary, length, pair):
    """[CLS] w... [SEP], or [CLS] w... [SEP] w... [SEP] with the second part of type 1.

    A length of 1 is [CLS] alone. Id 0 (padding) never occurs.
    """
    cls, sep, first_word = 2, 3, 5
    ids = torch.randint(first_word, vocabulary, (length,), generator=generator).tolist()
    types = [0] * length
    ids[0] = cls
    if length > 1:
        ids[-1] = sep
    if pair and length > 4:
        middle = length // 2
        ids[middle] = sep
        types[middle + 1 :] = [1] * (length - middle - 1)
    return ids, types


def random_model(seed, **sizes):
    """A classifier whose weights are large enough for gradients to be far from rounding noise."""
    config = transformers.BertConfig(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0, **sizes
    )
    config._attn_implementation = "eager"
    model = transformers.BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "LayerNorm.weight" in name:
                parameter.copy_(1.0 + 0.1 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif "embeddings" in name:
                parameter.copy_(0.5 * noise)
            else:  # of a size that keeps activations near 1 whatever the width
                parameter.copy_(noise * 1.2 / parameter.shape[1] ** 0.5)
    return model.eval()


def check_padding_changes_nothing(model, sentences, logits):
    for row, sentence in enumerate(sentences):
        alone = model(**padded([sentence])).logits[0]
        difference = (alone - logits[row]).abs().max().item()
        if difference > 2e-5:
            raise SystemExit(f"sentence {row} alone differs by {difference} from its padded batch")


def forward_and_gradients(model, sentences, labels):
    """Inputs, hidden states, logits, loss and every gradient for one batch."""
    out = {}
    add_sentences(out, "", sentences)
    out["labels"] = torch.tensor(labels, dtype=torch.int32)
    model.zero_grad(set_to_none=True)
    batch = padded(sentences)
    result = model(**batch, labels=torch.tensor(labels), output_hidden_states=True)
    result.loss.backward()
    with torch.no_grad():
        check_padding_changes_nothing(model, sentences, result.logits)
        keep = batch["attention_mask"].bool()
        for layer, hidden in enumerate(result.hidden_states):  # 0 is the embeddings' output
            out[f"hidden.{layer}"] = hidden[keep].clone()
        out["pooled"] = model.bert.pooler(result.hidden_states[-1])
        out["logits"] = result.logits.detach().clone()
        out["loss"] = result.loss.detach().reshape(1).clone()
        for name, parameter in model.named_parameters():
            out[f"grad.{name}"] = parameter.grad.clone()
    return out


def train(model, batches):
    """Ten steps of AdamW as transformers' Trainer sets it up; batches of (sentences, labels)."""
    decayed, spared = [], []
    for name, parameter in model.named_parameters():
        (spared if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        eps=EPS,
    )
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    out, losses, norms, rates = {}, [], [], []
    for step, (sentences, labels) in enumerate(batches):
        add_sentences(out, f"step.{step}.", sentences)
        out[f"step.{step}.labels"] = torch.tensor(labels, dtype=torch.int32)
        optimizer.zero_grad()
        loss = model(**padded(sentences), labels=torch.tensor(labels)).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM).item())
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    out["step.losses"] = torch.tensor(losses, dtype=torch.float32)
    out["step.grad_norms"] = torch.tensor(norms, dtype=torch.float32)
    out["step.learning_rates"] = torch.tensor(rates, dtype=torch.float32)
    for name, parameter in model.named_parameters():
        out[f"final.{name}"] = parameter.detach().clone()
    return out


def save_model(model, folder):
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words += ["##" + chr(c) for c in range(ord("a"), ord("z") + 1)]
    words += ["the", "sea", "##s", "it", ".", "rain", "##ed"]
    words = list(dict.fromkeys(words))
    words += [f"word{n}" for n in range(model.config.vocab_size - len(words))]
    (folder / "vocab.txt").write_text("".join(w + "\n" for w in words), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": model.config.max_position_embeddings,
                    "tokenizer_class": "BertTokenizer"}, indent=2) + "\n")


def make_tiny():
    folder = HERE / "tiny"
    model = random_model(
        seed=11, vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=40, num_labels=3)
    save_model(model, folder)
    generator = torch.Generator().manual_seed(12)
    sentences = [random_sentence(generator, 64, length, pair)
                 for length, pair in [(7, False), (30, True), (1, False), (12, True), (19, False)]]
    out = forward_and_gradients(model, sentences, [0, 2, 1, 1, 2])
    batches = []
    for _ in range(STEPS):
        lengths = torch.randint(2, 31, (4,), generator=generator).tolist()
        batch = [random_sentence(generator, 64, n, pair=row == 3) for row, n in enumerate(lengths)]
        batches.append((batch, torch.randint(0, 3, (4,), generator=generator).tolist()))
    out |= train(model, batches)
    save_tensors(out, folder / "reference.safetensors")


def make_head64():
    folder = HERE / "head64"
    model = random_model(
        seed=21, vocab_size=64, hidden_size=128, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=131, num_labels=2)
    save_model(model, folder)
    generator = torch.Generator().manual_seed(22)
    sentences = [random_sentence(generator, 64, length, pair)
                 for length, pair in [(3, False), (130, True), (16, False), (65, False), (33, True)]]
    out = forward_and_gradients(model, sentences, [1, 0, 0, 1, 1])
    del out["hidden.0"]  # kept small; tiny/ has every layer
    save_tensors(out, folder / "reference.safetensors")


def rounded(tensor):
    return [[float(f"{x:.9g}") for x in row] for row in tensor.tolist()]


def make_minilm(minilm):
    """The real MiniLM below a head of two labels whose weights are stored beside the answers."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(minilm)
    bert = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    weight = torch.randn(2, bert.config.hidden_size, generator=torch.Generator().manual_seed(31))
    bias = torch.tensor([0.05, -0.05])
    cases = []
    pooled_rows = []
    with torch.no_grad():
        for text in SENTENCES:
            ids = tokenizer(text)["input_ids"]
            pooled = bert(**padded([(ids, [0] * len(ids))])).pooler_output
            logits = pooled @ weight.T + bias
            pooled_rows.append(pooled[0])
            cases.append({"text": text, "token_ids": ids, "logits": rounded(logits)[0]})
    pooled = rounded(torch.stack(pooled_rows)[:, :16])
    for case, row in zip(cases, pooled):
        case["pooled_first_16"] = row
    reference = {"classifier.weight": rounded(weight), "classifier.bias": rounded(bias[None])[0],
                 "sentences": cases}
    text = json.dumps(reference, ensure_ascii=False, separators=(",", ":"))
    text = text.replace('{"text"', '\n{"text"') + "\n"
    (HERE / "minilm.json").write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", help="folder of all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    make_tiny()
    make_head64()
    if arguments.minilm:
        make_minilm(arguments.minilm)
    else:
        print("no --minilm: minilm.json left as it is")


if __name__ == "__main__":
    main()
