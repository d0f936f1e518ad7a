"""`bertie data` as a user starts it: splits, statistics, and the files that every command reads."""

import collections
import csv
import gzip
import json
import os
import random
import re
import shlex
import subprocess

import pytest


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def split(run, tmp_path):
    """split(file content or path, *flags, name) -> (process, train rows, test rows)."""

    def start(source, *flags, name="in.csv", out="out"):
        if isinstance(source, str):
            path = tmp_path / name
            path.write_bytes(source.encode())
            source = path
        done = run("data", "split", source, "--out", tmp_path / out, *flags)
        if done.returncode != 0:
            return done, None, None
        return done, read_rows(tmp_path / out / "train.csv"), read_rows(tmp_path / out / "test.csv")

    return start


def pairs(rows):
    return collections.Counter((row["sentence"], row["label"]) for row in rows)


MANY = "text,label\n" + "".join(f"sentence {i},{'ham' if i % 4 else 'spam'}\n" for i in range(100))


def test_every_row_is_in_one_part(split):
    done, train, test = split(MANY)
    assert done.returncode == 0, done.stderr
    assert len(train) == 75 and len(test) == 25
    expected = collections.Counter(
        (f"sentence {i}", "ham" if i % 4 else "spam") for i in range(100))
    assert pairs(train) + pairs(test) == expected
    assert [row["sentence"] for row in train] != sorted(row["sentence"] for row in train)


def test_seed_decides_the_split(split, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert split(MANY, "--seed", seed, out=out)[0].returncode == 0
    read = lambda out: (tmp_path / out / "test.csv").read_bytes()
    assert read("a") == read("b")
    assert read("a") != read("c")


def test_fraction_and_stratify(split):
    done, train, test = split(MANY, "--test-fraction", 0.2, "--stratify")
    assert done.returncode == 0, done.stderr
    assert collections.Counter(row["label"] for row in test) == {"ham": 15, "spam": 5}
    assert collections.Counter(row["label"] for row in train) == {"ham": 60, "spam": 20}


def test_awkward_texts_survive(split):
    texts = ['comma, "quotes"', "two\nlines", "carriage\r\nreturn", " blanks ", "ünïcödé 😀 中文",
             "=1+1", "'", "tab\there"]
    source = "\n".join(
        ["text,label"] + ['"' + text.replace('"', '""') + '",' + str(i % 2)
                          for i, text in enumerate(texts)]) + "\n"
    done, train, test = split(source)
    assert done.returncode == 0, done.stderr
    assert sorted(row["sentence"] for row in train + test) == sorted(texts)


def test_says_what_it_read_and_what_comes_next(split, tmp_path):
    done, _, _ = split(MANY)
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'in.csv'}: csv with a header"
    assert "  text: 'text', label: 'label'" in lines
    assert "  labels: 'ham' 75, 'spam' 25" in lines
    assert any(line.split() == ["all", "75", "25"] for line in lines)
    assert shlex.split(lines[-1]) == ["bertie", "train", str(tmp_path / "out" / "train.csv"),
                                      "--test", str(tmp_path / "out" / "test.csv")]


def test_next_command_is_quoted_for_the_shell(split, tmp_path):
    done, _, _ = split(MANY, out="my folder's")
    assert shlex.split(done.stdout.splitlines()[-1])[2] == str(
        tmp_path / "my folder's" / "train.csv")


@pytest.mark.parametrize("name, source", [
    ("a.tsv", "sentence\tlabel\none\t1\ntwo\t0\nthree\t1\nfour\t0\n"),
    ("a.jsonl", '{"text": "one", "label": 1}\n{"text": "two", "label": 0}\n'
                '{"label": 1, "text": "three"}\n{"text": "four", "label": 0}\n'),
    ("a.csv", "one,1\r\ntwo,0\r\nthree,1\r\nfour,0"),
    ("a", "gj04\t1\t\tone\ngj04\t0\t*\ttwo\ngj04\t1\t\tthree\ngj04\t0\t??\tfour\n"),
])
def test_forms(split, name, source):
    done, train, test = split(source, name=name)
    assert done.returncode == 0, done.stderr
    assert pairs(train) + pairs(test) == collections.Counter(
        [("one", "1"), ("two", "0"), ("three", "1"), ("four", "0")])


def test_stdin(run, tmp_path):
    done = run("data", "split", "-", "--out", tmp_path, stdin=MANY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stdin: csv with a header\n")
    assert len(read_rows(tmp_path / "test.csv")) == 25


def test_columns_by_name_and_number(split):
    source = "id,review,stars,note\n" + "".join(f"{i},text {i},{i % 3},x\n" for i in range(12))
    for flags in (["--text-column", "review", "--label-column", "stars"],
                  ["--text", 2, "--label", 3, "--header"]):
        done, train, test = split(source, *flags)
        assert done.returncode == 0, done.stderr
        assert pairs(train + test)[("text 5", "2")] == 1


def test_pairs_keep_both_texts(split, tmp_path):
    source = "premise\thypothesis\tlabel\n" + "".join(f"p{i}\th{i}\t{i % 2}\n" for i in range(8))
    done = split(source, name="a.tsv")[0]
    assert done.returncode == 0, done.stderr
    rows = read_rows(tmp_path / "out" / "train.csv") + read_rows(tmp_path / "out" / "test.csv")
    assert {(row["sentence1"], row["sentence2"], row["label"]) for row in rows} == {
        (f"p{i}", f"h{i}", str(i % 2)) for i in range(8)}
    again = split(tmp_path / "out" / "train.csv", out="again")[0]
    assert again.returncode == 0, again.stderr
    assert "second text: 'sentence2'" in again.stdout


def test_output_reads_back_as_it_is(split, tmp_path):
    """A split of a split finds the columns by itself."""
    assert split(MANY)[0].returncode == 0
    done, train, test = split(tmp_path / "out" / "train.csv", out="again")
    assert done.returncode == 0, done.stderr
    assert len(train) + len(test) == 75


def test_cola_splits_as_its_notebook_does(split, cola):
    done, train, test = split(cola / "in_domain_train.tsv")
    assert done.returncode == 0, done.stderr
    assert (len(train), len(test)) == (6413, 2138)
    assert "tsv without a header" in done.stdout
    assert "text: column 4, label: column 2" in done.stdout
    assert "labels: '0' 2528, '1' 6023" in done.stdout
    original = collections.Counter()
    with open(cola / "in_domain_train.tsv", encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            original[(fields[3], fields[1])] += 1
    assert pairs(train) + pairs(test) == original


class TestRefusals:
    def refused(self, split, code, *words, **arguments):
        done, _, _ = split(*arguments.pop("args"), **arguments)
        assert done.returncode == code, done.stdout + done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr

    def test_bad_rows(self, split):
        for row, words in (("b", "in.csv:3: found 1 columns; expected 2"),
                           (",0", "in.csv:3: the text ('text') is empty"),
                           ("b,", "in.csv:3: the label ('label') is empty"),
                           ("b,0,1", "in.csv:3: found 3 columns; expected 2"),
                           ('"b,0', "in.csv:3: a quoted field begins here and never ends")):
            self.refused(split, 1, words, args=[f"text,label\na,1\n{row}\nc,0\n"])

    def test_bad_rows_can_be_skipped(self, split):
        done, train, test = split("text,label\na,1\nb\nc,0\n,1\nd,1\n", "--skip-bad")
        assert done.returncode == 0, done.stderr
        assert len(train) + len(test) == 3
        assert "bad rows left out: 2" in done.stdout
        assert "in.csv:3: found 1 columns" in done.stdout

    def test_invalid_utf8(self, run, tmp_path):
        file = tmp_path / "latin.csv"
        file.write_bytes(b"text,label\ncaf\xe9,1\nb,0\n")
        done = run("data", "split", file, "--out", tmp_path / "out")
        assert done.returncode == 1
        assert "latin.csv:2" in done.stderr and "UTF-8" in done.stderr
        assert not (tmp_path / "out").exists()

    def test_no_file(self, run, tmp_path):
        done = run("data", "split", tmp_path / "no.csv", "--out", tmp_path / "out")
        assert done.returncode == 1
        assert str(tmp_path / "no.csv") in done.stderr and "No such file" in done.stderr

    def test_unknown_column(self, split):
        self.refused(split, 2, "found no column 'stars'", "1: 'text', 2: 'label'",
                     args=[MANY, "--label-column", "stars"])

    def test_fraction_out_of_range(self, split):
        self.refused(split, 2, "test fraction is 25; expected above 0 and below 1",
                     args=[MANY, "--test-fraction", 25])

    def test_one_label(self, split):
        self.refused(split, 1, "all 2 rows have the label '1'", args=["text,label\na,1\nb,1\n"])

    def test_output_folder_is_a_file(self, split, tmp_path):
        (tmp_path / "out").write_text("mine")
        self.refused(split, 1, str(tmp_path / "out"), args=[MANY])
        assert (tmp_path / "out").read_text() == "mine"

    def test_full_disk_keeps_the_old_files(self, split, bertie, tmp_path):
        assert split(MANY)[0].returncode == 0
        before = (tmp_path / "out" / "train.csv").read_bytes()
        big = tmp_path / "big.csv"
        big.write_text("text,label\n" + "".join(f"{'x' * 200} {i},{i % 2}\n" for i in range(3000)))
        # A file-size limit stands for a full disk; without its signal, writes fail.
        done = subprocess.run(
            ["bash", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$0" "$@"', bertie, "data", "split", big, "--out",
             tmp_path / "out"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "train.csv" in done.stderr and "File too large" in done.stderr
        assert (tmp_path / "out" / "train.csv").read_bytes() == before
        assert sorted(os.listdir(tmp_path / "out")) == ["test.csv", "train.csv"]


def test_a_million_cells_in_little_time(run, tmp_path):
    """200,000 rows of 12 MB: no step is quadratic."""
    numbers = random.Random(1)
    file = tmp_path / "big.csv"
    with open(file, "w", encoding="utf-8") as out:
        out.write("id,text,label,a,b\n")
        for i in range(200_000):
            out.write(f'{i},"{"word, " * numbers.randrange(1, 12)}",{i % 7},x,y\n')
    done = run("data", "split", file, "--out", tmp_path / "out", timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(read_rows(tmp_path / "out" / "test.csv")) == 50_000


def test_help_has_examples(run):
    done = run("data", "split", "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout and "--stratify" in done.stdout


class TestGzip:
    """What gzip packed is read as if it were not, by its first bytes."""

    def test_file_and_stdin(self, split, run, tmp_path, bertie):
        plain, train, test = split(MANY)
        packed = tmp_path / "in.csv.gz"
        packed.write_bytes(gzip.compress(MANY.encode()))
        done, train_gz, test_gz = split(packed, out="gz")
        assert done.returncode == 0, done.stderr
        assert (train_gz, test_gz) == (train, test)
        half = len(MANY) // 2  # members one after the other, as `cat a.gz b.gz` makes them
        members = gzip.compress(MANY[:half].encode()) + gzip.compress(MANY[half:].encode())
        done = subprocess.run([bertie, "data", "split", "-", "--out", tmp_path / "stdin"], input=members,
                              capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert read_rows(tmp_path / "stdin" / "train.csv") == train

    def test_a_pipe_byte_by_byte(self, bertie, tmp_path):
        process = subprocess.Popen([bertie, "data", "split", "-", "--out", tmp_path / "out"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        packed = gzip.compress(MANY.encode())
        for i in range(40):
            process.stdin.write(packed[i:i + 1])
            process.stdin.flush()
        process.communicate(packed[40:], timeout=30)
        assert process.returncode == 0
        assert len(read_rows(tmp_path / "out" / "train.csv")) == 75

    def test_damaged_and_cut(self, split, tmp_path):
        packed = bytearray(gzip.compress(random.Random(3).randbytes(5000).hex().encode()))
        for content in (bytes(packed[:-3000]), b"\x1f\x8bnot gzip at all", b"\x1f\x8b"):
            (tmp_path / "in.csv").write_bytes(content)
            done = split(tmp_path / "in.csv")[0]
            assert done.returncode == 1 and "in.csv: its gzip is damaged or cut short" in done.stderr

    def test_empty(self, split, tmp_path):
        (tmp_path / "in.csv.gz").write_bytes(gzip.compress(b""))
        done = split(tmp_path / "in.csv.gz")[0]
        assert done.returncode == 1 and "in.csv.gz: is empty" in done.stderr

    def test_damage_ends_a_run_that_skips_bad_rows(self, run, tiny_model, tmp_path):
        lines = "".join(f"the sea {random.Random(i).random()}\n" for i in range(20_000)).encode()
        (tmp_path / "in.txt.gz").write_bytes(gzip.compress(lines)[:-1000])
        done = run("predict", tiny_model, "--file", tmp_path / "in.txt.gz", "--format", "json", "--skip-bad",
                   timeout=60)
        assert done.returncode == 1 and "cut short" in done.stderr

    def test_line_numbers(self, split, tmp_path):
        (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(MANY.encode() + b"no label,\n"))
        done = split(tmp_path / "bad.csv.gz")[0]
        assert done.returncode == 1 and "bad.csv.gz:102: " in done.stderr

    def test_predict(self, run, tiny_model, tmp_path):
        (tmp_path / "texts.txt.gz").write_bytes(gzip.compress(b"the sea\nit rained\n"))
        done = run("predict", tiny_model, "--file", tmp_path / "texts.txt.gz", "--format", "json")
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["the sea", "it rained"]


class TestStats:
    """`bertie data stats`."""

    TRAIN = ("text,label\n"  # line 1
             "the sea,good\n" "It  RAINED,bad\n" "it rained,bad\n" "the sea ,bad\n" ",bad\n" "the,good\n"
             "a b c,good,more\n" "sea sea sea,good\n")
    TEST = "text,label\nThe Sea,good\nrain,bad\nit rained,good\nsea,ugly\n"

    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "train.csv").write_text(self.TRAIN)
        (tmp_path / "test.csv").write_text(self.TEST)
        return tmp_path / "train.csv", tmp_path / "test.csv"

    def test_json(self, run, files, tiny_model):
        train, test = files
        done = run("data", "stats", train, "--test", test, "--model", tiny_model, "--json")
        assert done.returncode == 0, done.stderr
        stats = json.loads(done.stdout)
        assert stats["train"]["labels"] == {"bad": 3, "good": 3}
        assert stats["train"]["bad_rows"] == 2
        assert [row.split(":")[1] for row in stats["train"]["first_bad_rows"]] == ["6", "8"]
        assert stats["repetitions"] == {"repeated": 2, "contradicting": 1,
                                        "first_repeated_lines": [[3, 4], [2, 5]],
                                        "first_contradicting_lines": [[2, 5]]}
        assert stats["test"]["labels"] == {"bad": 1, "good": 2} and stats["test"]["bad_rows"] == 1
        assert stats["leakage"] == {"repeated": 2, "contradicting": 1,
                                    "first_repeated_lines": [[2, 2], [3, 4]],
                                    "first_contradicting_lines": [[3, 4]]}
        lines = "\n".join(json.dumps(text) for text in (
            "the sea", "It  RAINED", "it rained", "the sea ", "the", "sea sea sea", "The Sea", "rain",
            "it rained"))
        tokens = run("tokenize", tiny_model, stdin=lines).stdout.splitlines()
        lengths = sorted(len(json.loads(line)["ids"]) for line in tokens)
        assert stats["lengths"]["longest"] == lengths[-1]
        assert stats["lengths"]["p50"] == lengths[4]
        assert stats["lengths"]["suggested_max_length"] == 8

    def test_text(self, run, files, tiny_model):
        train, test = files
        done = run("data", "stats", train, "--test", test, "--model", tiny_model)
        assert re.search(r"good +3 +50\.0 % +2 +66\.7 %", done.stdout)
        for words in ("suggested: --max-length 8 (cuts none)",
                      "bad rows in", "train.csv:6: ", "test.csv:5: ", "said before (blanks and case aside): 2",
                      "of these with another label: 1", "in the training data: 2 (66.7 %)",
                      "test.csv:2 is", "take them out of"):
            assert words in done.stdout, (words, done.stdout)

    def test_clean_and_uneven(self, run, tmp_path, tiny_model):
        (tmp_path / "a.csv").write_text(MANY.replace("ham", "x" * 9))
        env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # where there is no model
        done = run("data", "stats", tmp_path / "a.csv", env=env)
        assert done.returncode == 0, done.stderr
        assert "lengths in words: half up to 2" in done.stdout and "name a model" in done.stdout
        assert "bad rows in" in done.stdout and "aside): none" in done.stdout
        assert "3.0 times" in done.stdout and "--class-weights balanced" in done.stdout

    def test_stdin_and_pairs(self, run, tiny_model):
        rows = "".join(json.dumps({"premise": "the sea", "hypothesis": "it", "label": i % 2}) + "\n"
                       for i in range(4))
        done = run("data", "stats", "-", "--model", tiny_model, "--json", stdin=rows)
        stats = json.loads(done.stdout)
        assert stats["repetitions"]["repeated"] == 3 and stats["repetitions"]["contradicting"] == 2
        assert stats["lengths"]["longest"] == 6  # [CLS] the sea [SEP] it [SEP]

    def test_cola(self, run, cola, minilm):
        done = run("data", "stats", cola / "in_domain_train.tsv", "--test", cola / "in_domain_dev.tsv",
                   "--model", minilm, "--json")
        stats = json.loads(done.stdout)
        assert stats["train"]["labels"] == {"0": 2528, "1": 6023}
        assert stats["lengths"]["suggested_max_length"] <= 48
