"""Writes tests/text/references/: what Hugging Face's `tokenizers` makes of hard strings.

    pip install tokenizers==0.22.2
    python3 tests/text/make_references.py

vocab.txt        the vocabulary of the references
strings.jsonl    2,000 lines: the text (or its bytes), perhaps a pair, the options, and the ids
codepoints.txt   for each block of 4,096 code points the FNV-1a hashes of what the normalisers make
                 of each character among others, and of its class (white space, punctuation, word)
"""
import json
import pathlib

from hard_strings import SPECIAL, HardStrings, as_line, as_text, vocabulary
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

OUT = pathlib.Path(__file__).parent / "references"
SEED = 20240911
COUNT = 2000
# The options of each variant; reference_test.cc has the same list.
VARIANTS = [dict(lowercase=True, strip_accents=None, handle_chinese_chars=True, clean_text=True),
            dict(lowercase=False, strip_accents=None, handle_chinese_chars=True, clean_text=True),
            dict(lowercase=True, strip_accents=False, handle_chinese_chars=True, clean_text=True),
            dict(lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False)]
LENGTHS = [0, 0, 5, 12, 40]
BLOCK = 4096


def make_tokenizer(tokens, options):
    tokenizer = Tokenizer(WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = tokens.index("[CLS]"), tokens.index("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return tokenizer


def hardness(text):
    """The share of distinct characters outside ASCII, a little higher for longer texts."""
    return len({c for c in text if c > "\x7f"}) / (len(text) + 4)


def choose_cases():
    hard = HardStrings(SEED)
    cases = [hard.case() for _ in range(4 * COUNT)]
    cases = [c for c in cases if len(as_text(c[0])) + len(as_text(c[1] or "")) < 100]
    # Half of them the hardest, half as they come: those have the words and the special tokens.
    ranked = sorted(range(len(cases)), key=lambda i: -hardness(as_text(cases[i][0])))
    hardest = set(ranked[:COUNT // 2])
    others = [i for i in range(len(cases)) if i not in hardest]
    return [cases[i] for i in sorted(hardest) + others[:COUNT - len(hardest)]]


def characters(cases):
    """What the normalisers leave of the cases' characters, as ranges."""
    chars = set()
    for options in VARIANTS:
        normalize = normalizers.BertNormalizer(**options).normalize_str
        for text, pair in cases:
            chars.update(normalize(as_text(text)), normalize(as_text(pair or "")))
    # The ideographs are alike; a part of them is enough.
    return [(ord(c), ord(c)) for c in sorted(chars)
            if not "\u3400" <= c <= "\u9fff" and not "\U00020000" <= c]


def write_strings(tokens, cases):
    tokenizers = [make_tokenizer(tokens, options) for options in VARIANTS]
    with open(OUT / "strings.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for n, (text, pair) in enumerate(cases):
            variant, max_length = n % len(VARIANTS), LENGTHS[n % len(LENGTHS)]
            tokenizer = tokenizers[variant]
            if max_length:
                tokenizer.enable_truncation(max_length, strategy="longest_first")
            else:
                tokenizer.no_truncation()
            encoding = tokenizer.encode(as_text(text), None if pair is None else as_text(pair))
            line = as_line(text, pair)
            line.update(variant=variant, max_length=max_length, ids=encoding.ids,
                        second=sum(encoding.type_ids), truncated=bool(encoding.overflowing))
            out.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")


def fnv1a(data, state):
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state


def char_class(split, char):
    pieces = [piece for piece, _ in split("a" + char + "b")]
    return {1: "w", 2: "s", 3: "p"}[len(pieces)]


def write_codepoints():
    normalize = [normalizers.BertNormalizer(**options).normalize_str for options in VARIANTS]
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    with open(OUT / "codepoints.txt", "w", encoding="ascii") as out:
        for block in range(0, 0x110000, BLOCK):
            states = [0xCBF29CE484222325] * (len(VARIANTS) + 1)
            for c in range(block, block + BLOCK):
                if 0xD800 <= c < 0xE000:
                    continue
                # The marks around it, of classes 224 and 216, change places unless it is a starter.
                text = f"a\u302E{chr(c)}\U0001D165b"
                for i, function in enumerate(normalize):
                    states[i] = fnv1a(function(text).encode(), states[i])
                states[-1] = fnv1a(char_class(split, chr(c)).encode(), states[-1])
            out.write(f"{block:06X} " + " ".join(f"{state:016x}" for state in states) + "\n")


def main():
    OUT.mkdir(exist_ok=True)
    cases = choose_cases()
    tokens = list(dict.fromkeys(vocabulary() + vocabulary(characters(cases))))
    (OUT / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
    write_strings(tokens, cases)
    write_codepoints()


if __name__ == "__main__":
    main()
