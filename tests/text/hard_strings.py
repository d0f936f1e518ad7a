"""Strings that are hard on a tokenizer, the same for the same seed, and a vocabulary for them."""
import pathlib
import random
import re

WORDS = ("the of and to in is was he for it with as his on be at by I this had not are but from or "
         "have an they which one you were all her she there would their we him been has when who "
         "will no more if out so up said what its about than into them can only other time new "
         "some could these two may first then do any like my now over such our man me even most "
         "made after also did many off before must well back through years where much your way "
         "down should because long each just state those people too mr how little good world "
         "unaffable tokenization embeddings antidisestablishmentarianism re-read don't it's I'm "
         "U.S.A. 3.14 1,000,000 e-mail naïve café résumé Straße ﬁne İstanbul ΟΔΥΣΣΕΥΣ ǅ Ⅷ ß").split()
AFFIXES = ("un re in dis ##s ##ed ##ing ##ly ##er ##or ##ion ##tion ##ation ##able ##ible ##al "
           "##ial ##ness ##ment ##less ##ful ##ous ##ive ##est ##ist ##ism ##ity ##ty ##aff ##iz "
           "##ization ##isation embed ##ding ##dings token ##read anti establish world ##wide").split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NEAR_SPECIAL = ["[sep]", "[Mask]", "[SEP", "SEP]", "[[SEP]]", "[ SEP ]", "[MASK][MASK]", "[CLS]a",
                "a[UNK]", " [MASK] ", "\u3000[MASK]\t", "[SE\u200bP]", "[SE\u0301P]", "[unused1]",
                "##ing", "## ing", "#", "[PAD]\u0301", "\x85[MASK]\u2028"]
RANGES = {
    "ascii": [(0x20, 0x7E)],
    "latin": [(0xA1, 0x24F), (0x1E00, 0x1EFF)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "cyrillic": [(0x400, 0x52F)],
    "semitic": [(0x590, 0x6FF)],
    "indic": [(0x900, 0xDFF)],
    "southeast": [(0xE00, 0xFFF), (0x1780, 0x17FF), (0x1B00, 0x1BFF)],
    "cjk": [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF),
            (0x2B81E, 0x2B922), (0x2F800, 0x2FA1F), (0x2A6DE, 0x2A702), (0x2CEAE, 0x2CEB2)],
    "kana": [(0x3000, 0x30FF), (0xFF00, 0xFFEF)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x11FF)],
    "marks": [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF),
              (0xFE20, 0xFE2F)],
    "kept_marks": [(0x302E, 0x302F), (0x1D165, 0x1D172), (0xA953, 0xA953), (0xA9C0, 0xA9C0),
                   (0x1B44, 0x1B44), (0x1BAA, 0x1BAA), (0x1BF2, 0x1BF3), (0x111C0, 0x111C0),
                   (0x1134D, 0x1134D), (0x8D4, 0x8E1), (0x1E000, 0x1E02A), (0x1E944, 0x1E94A),
                   (0x11442, 0x11446), (0x16FF0, 0x16FF1), (0x34F, 0x34F)],
    "controls": [(0x0, 0x20), (0x7F, 0xA0), (0x200B, 0x200F), (0x2028, 0x202F), (0x2060, 0x206F),
                 (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFF), (0xE000, 0xE00F), (0xE0000, 0xE007F),
                 (0x10FFF0, 0x10FFFF)],
    "spaces": [(0x9, 0xD), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
               (0x2000, 0x200B), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x2060),
               (0x3000, 0x3000), (0x180E, 0x180E)],
    "punctuation": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xBF),
                    (0x2010, 0x205E), (0x2E00, 0x2E5D), (0x3001, 0x3003), (0x3008, 0x3020)],
    "emoji": [(0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x2600, 0x27BF),
              (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF), (0xFE0E, 0xFE0F), (0x200D, 0x200D)],
    "any": [(0x0, 0xD7FF), (0xE000, 0x10FFFF)],
    "bmp": [(0x80, 0xD7FF)],
    "smp": [(0x10000, 0x1FFFF)],
}


def _difference_ranges():
    """Where the two Unicode libraries disagree, and the characters beside it."""
    table = pathlib.Path(__file__).parents[2] / "src" / "text" / "unicode_differences.inc"
    found = re.findall(r"^\{0x([0-9A-F]+), 0x([0-9A-F]+),", table.read_text(), re.M)
    return [(int(first, 16) - 1, int(last, 16) + 1) for first, last in found]


class HardStrings:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ranges = {**RANGES, "differences": _difference_ranges()}
        self.names = list(self.ranges)

    def char(self, name):
        first, last = self.random.choice(self.ranges[name])
        return chr(self.random.randint(first, last))

    def chars(self, name, count):
        return "".join(self.char(name) for _ in range(count))

    def words(self):
        r = self.random
        words = [r.choice(WORDS) for _ in range(r.randint(1, 12))]
        words = [r.choice([w, w, w, w.upper(), w.title(), w.swapcase()]) for w in words]
        before = r.choice(["", "", "\"", "("])
        return before + " ".join(words) + r.choice(["", ".", "!", "?)", "..."])

    def marked(self):
        """Bases with many marks on them, in any order."""
        r = self.random
        parts = []
        for _ in range(r.randint(1, 4)):
            parts.append(self.char(r.choice(["ascii", "latin", "greek", "hangul", "cjk", "indic"])))
            for _ in range(r.randint(0, 12)):
                parts.append(self.char(r.choice(
                    ["marks", "marks", "kept_marks", "kept_marks", "differences", "controls"])))
        return "".join(parts)

    def long_word(self):
        r = self.random
        count = r.choice([99, 100, 101, 102, 103, r.randint(80, 130), 400])
        name = r.choice(["ascii", "latin", "cyrillic", "hangul", "emoji", "smp"])
        word = r.choice(["a", "ing", "é", "한", self.chars(name, r.randint(1, 3))])
        word = (word * count)[:count]
        at = r.randint(0, count)
        inserted = self.chars(r.choice(["controls", "marks", "cjk"]), r.randint(0, 2))
        return word[:at] + inserted + word[at:]

    def special(self):
        r = self.random
        parts = [["", " ", "x"], SPECIAL + NEAR_SPECIAL, ["", " ", "x"]]
        return "".join(r.choice(part) for part in parts)

    def emoji(self):
        r = self.random
        return r.choice(["👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "1️⃣", "❤️", "🏳️‍🌈", self.chars("emoji", r.randint(1, 5))])

    def mixed(self):
        r = self.random
        return "".join(self.char(r.choice(self.names)) for _ in range(r.randint(1, 20)))

    def one_range(self):
        return self.chars(self.random.choice(self.names), self.random.randint(1, 16))

    def text(self):
        r = self.random
        makers = [self.words, self.words, self.marked, self.long_word, self.special, self.special,
                  self.emoji, self.mixed, self.one_range, self.one_range]
        return r.choice(["", " "]).join(r.choice(makers)() for _ in range(r.randint(1, 4)))

    def broken(self):
        """Bytes with something that is not UTF-8 in them."""
        r = self.random
        data = bytearray(self.text().encode())
        for _ in range(r.randint(1, 6)):
            at = r.randint(0, len(data))
            kind = r.randint(0, 3)
            if kind == 0:
                data[at:at] = bytes(r.randint(0x80, 0xFF) for _ in range(r.randint(1, 5)))
            elif kind == 1:
                del data[at:at + r.randint(1, 2)]
            elif kind == 2:
                data[at:at] = r.choice([
                    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe0\x80\x80",
                    b"\xf0\x80\x80\x80", b"\xf0\x9f\x98", b"\xe4\xbd", b"\xff"])
            elif at < len(data):
                data[at] = r.randint(0, 255)
        return bytes(data)

    def case(self):
        """A text and perhaps a second one, each a str, or bytes that are not UTF-8."""
        r = self.random
        text = self.broken() if r.random() < 0.15 else self.text()
        if r.random() < 0.75:
            return text, None
        return text, (self.broken() if r.random() < 0.15 else self.text())


def as_line(text, pair):
    """The case as `bertie tokenize` reads it."""
    line = {}
    for name, value in (("text", text), ("pair", pair)):
        if isinstance(value, bytes):
            line[name + "_bytes"] = list(value)
        elif value is not None:
            line[name] = value
    return line


def as_text(value):
    """What Hugging Face gets: bytes are read as Python reads them."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def vocabulary(ranges=None):
    """Tokens with which few words are unknown: pieces of English, and single characters both at a
    word's beginning and inside it."""
    tokens = dict.fromkeys(SPECIAL)
    for word in WORDS:
        tokens[word] = tokens[word.lower()] = None
    tokens.update(dict.fromkeys(AFFIXES))
    if ranges is None:
        ranges = [(0x21, 0x7E), (0xA1, 0x17F), (0x300, 0x36F), (0x370, 0x45F), (0x5D0, 0x5EA),
                  (0x620, 0x64A), (0x905, 0x94D), (0x1100, 0x1175), (0x11A8, 0x11C2),
                  (0x2010, 0x2027), (0x3041, 0x3096), (0x30A1, 0x30F6), (0x4E00, 0x4E5F),
                  (0x1F600, 0x1F64F), (0x1D165, 0x1D172), (0x302E, 0x302F), (0x1E000, 0x1E01F)]
    for first, last in ranges:
        for c in range(first, last + 1):
            if not 0xD800 <= c < 0xE000 and c not in (0xA, 0xD):
                tokens[chr(c)] = tokens["##" + chr(c)] = None
    return list(tokens)
