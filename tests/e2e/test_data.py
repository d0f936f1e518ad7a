"""`bertie data split` as a user starts it."""

import collections
import csv
import os
import random
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
