"""Writes src/text/unicode_differences.inc: where Hugging Face's `tokenizers` and utf8proc disagree.

Run it after either of the two has changed:
    pip install tokenizers==0.22.2
    python3 tests/text/make_unicode_differences.py > src/text/unicode_differences.inc

Every code point is shown to `tokenizers` in each of the ways in which its BERT pipeline can treat
it, and to the utf8proc library by ctypes. What is printed are the ranges where the answers differ,
each with the answer of `tokenizers`.
"""
import ctypes
import ctypes.util
import sys

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf "
              "Cs Co").split()
# BERT calls these punctuation though Unicode calls them symbols.
ASCII_SYMBOLS = {ord(c) for c in "$+<=>^`|~"}
WORD_CATEGORIES = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"}


class Utf8proc:
    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
        self.lib.utf8proc_get_property.restype = ctypes.POINTER(ctypes.c_uint16)
        self.lib.utf8proc_unicode_version.restype = ctypes.c_char_p

    def version(self):
        return self.lib.utf8proc_unicode_version().decode()

    def category(self, c):
        return CATEGORIES[self.lib.utf8proc_category(c)]

    def combining_class(self, c):
        return self.lib.utf8proc_get_property(c)[1]

    def lower(self, c):
        return chr(self.lib.utf8proc_tolower(c))

    def decomposed(self, c):
        buffer = (ctypes.c_int32 * 32)()
        boundary = ctypes.c_int(0)
        count = self.lib.utf8proc_decompose_char(c, buffer, 32, 1 << 4, ctypes.byref(boundary))
        return "".join(chr(buffer[i]) for i in range(count))


class Tokenizers:
    def __init__(self):
        def only(**kwargs):
            off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False,
                       lowercase=False)
            return normalizers.BertNormalizer(**{**off, **kwargs}).normalize_str

        self.clean = only(clean_text=True)
        self.strip = only(strip_accents=True)
        self.lower = only(lowercase=True)
        self.decomposed = normalizers.NFD().normalize_str
        self.split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
        # A token that must stand alone is found beside c just when c is no word character.
        self.single = Tokenizer(WordPiece({"[UNK]": 0, "QQ": 1}, unk_token="[UNK]"))
        self.single.add_special_tokens([AddedToken("QQ", single_word=True, normalized=False)])

    def is_punctuation(self, c):
        return [piece for piece, _ in self.split("a" + chr(c) + "b")] == ["a", chr(c), "b"]

    def is_word(self, c):
        return 1 not in self.single.encode("QQ" + chr(c)).ids

    def is_starter(self, c):
        """No mark moves over c: not U+0334 (class 1) from its right, nor U+0345 (class 240)."""
        char = chr(c)
        return (self.decomposed(char + "\u0334") == char + "\u0334" and
                self.decomposed("\u0345" + char) == "\u0345" + char)


def differences(theirs, ours, c):
    char = chr(c)
    category = ours.category(c)
    flags = []
    if category == "Cf" and theirs.clean(char) != "":
        flags.append("kNotControl")
    mark = theirs.strip(char) == ""
    if mark != (category == "Mn"):
        flags.append("kMark" if mark else "kNotMark")
    punctuation = theirs.is_punctuation(c)
    if punctuation != (category[0] == "P" or c in ASCII_SYMBOLS):
        flags.append("kPunctuation" if punctuation else "kNotPunctuation")
    whole = theirs.decomposed(char) == char
    if not whole and theirs.decomposed(char) != ours.decomposed(c):
        sys.exit(f"U+{c:04X} decomposes differently; the table cannot say that")
    if whole and ours.decomposed(c) != char:
        flags.append("kWhole")
    if whole and ours.combining_class(c) != 0 and theirs.is_starter(c):
        flags.append("kStarter")
    if whole and ours.combining_class(c) == 0 and not theirs.is_starter(c):
        sys.exit(f"U+{c:04X} is a starter to utf8proc only; the table cannot say that")
    word = theirs.is_word(c)
    if word and category not in WORD_CATEGORIES:
        flags.append("kWord")
    if not word and category in WORD_CATEGORIES:
        sys.exit(f"U+{c:04X} is a word character to utf8proc only; the table cannot say that")
    lower = theirs.lower(char)
    # U+0130 is written out in the source, as the one character that becomes two.
    if lower != ours.lower(c) and c != 0x130:
        return flags, ord(lower) - c
    return flags, 0


def main():
    import tokenizers
    theirs, ours = Tokenizers(), Utf8proc()
    ranges = []
    for c in range(0x80, 0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        flags, lower = differences(theirs, ours, c)
        if not flags and not lower:
            continue
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2:] == [flags, lower]:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, flags, lower])
    print(f"// Made by tests/text/make_unicode_differences.py from tokenizers "
          f"{tokenizers.__version__} and utf8proc with\n// Unicode {ours.version()}. "
          "{first, last, flags, what lower case adds}")
    print("// clang-format off")
    for first, last, flags, lower in ranges:
        print(f"{{0x{first:X}, 0x{last:X}, {' | '.join(flags) or '0'}, {lower}}},")
    print("// clang-format on")


if __name__ == "__main__":
    main()
