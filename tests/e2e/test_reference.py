"""What the program says of itself for packages: reference page, man pages, completions.

zsh, fish and mandoc, which CI does not have, are in tests/long/test_shells.py.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Completes a command line in a bash that has nothing but the script.
COMPLETE = r"""
source <("$1" completion bash)
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }  # has no meaning outside of readline
_bertie bertie "${COMP_WORDS[COMP_CWORD]}"
((${#COMPREPLY[@]})) && printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def commands(run):
    """Every command, as --help lists them: ["train"], ["data", "split"], ..."""
    def below(path):
        text = run(*path, "--help").stdout
        listed = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
        names = re.findall(r"^  (\S+)", listed[1], re.M) if listed else []
        return [path, *(inner for name in names for inner in below([*path, name]))]
    return below([])[1:]


@pytest.fixture
def complete(bertie):
    """complete("serve", "--pre") -> the words offered for the last one."""
    def ask(*words):
        done = subprocess.run(["bash", "--norc", "-c", COMPLETE, "bash", bertie, "bertie", *words],
                              capture_output=True, text=True)
        assert not done.stderr
        return done.stdout.split()
    return ask


def test_the_reference_page_is_the_programs(run):
    page = (ROOT / "docs" / "reference.md").read_text()
    assert run("reference").stdout == page, "make it anew: build/release/bertie reference > docs/reference.md"


def test_the_reference_does_not_depend_on_who_asks(run):
    strange = run("reference", env={**os.environ, "HOME": "/nobody", "SAGEMAKER_BIND_TO_PORT": "99"})
    assert strange.stdout == run("reference", env={"PATH": os.environ["PATH"]}).stdout


def test_the_reference_has_every_flag_of_every_help(run, commands):
    sections = dict(re.findall(r"^## bertie (.+)\n((?:(?!^## ).*\n)*)", run("reference").stdout, re.M))
    assert [path for path in (" ".join(command) for command in commands)] == list(sections)
    for command in commands:
        flags = re.findall(r"^  (?:-\w,)?(--[\w-]+)", run(*command, "--help").stdout, re.M)
        assert flags
        for flag in flags:
            assert re.search(rf"`{flag}[ `]", sections[" ".join(command)]), (command, flag)


def test_man_pages(run, commands, tmp_path):
    done = run("man", "--out", tmp_path, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    assert done.returncode == 0, done.stderr
    top = {command[0] for command in commands}
    assert {file.name for file in tmp_path.iterdir()} == {"bertie.1", *(f"bertie-{name}.1" for name in top)}
    assert '"2023-11-14"' in (tmp_path / "bertie.1").read_text()
    assert run("man", "serve").stdout.splitlines()[1:] == (tmp_path / "bertie-serve.1").read_text().splitlines()[1:]
    wrong = run("man", "sreve")
    assert wrong.returncode == 2 and "found no command sreve" in wrong.stderr
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    for file in tmp_path.iterdir():
        shown = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", file], capture_output=True, text=True)
        assert shown.stderr == ""
        text = re.sub("[\u2010\u2212]", "-", shown.stdout)
        for section in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
            assert f"\n{section}\n" in text, (file.name, section)
    assert "--max-queue-tokens N" in re.sub(r"\s+", " ", subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", tmp_path / "bertie-serve.1"], capture_output=True, text=True).stdout)


def test_bash_completes_commands(complete, commands):
    assert set(complete("")) == {command[0] for command in commands}
    assert complete("tr") == ["train"]
    assert complete("data", "") == ["split", "stats"]
    assert complete("data", "split", "--ou") == ["--out"]


def test_bash_completes_flags_and_values(complete):
    assert complete("serve", "--precision", "") == ["fp32", "bf16", "int8"]
    assert complete("serve", "--precision", "=", "i") == ["int8"]
    assert complete("serve", "--precision", "=") == ["fp32", "bf16", "int8"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert complete("bench", "--what", "latency,thr") == ["latency,throughput"]
    assert complete("serve", "m", "--max-q") == ["--max-queue", "--max-queue-tokens"]
    assert complete("serve", "--port", "8") == []  # a number
    assert complete("serve", "mod") == []  # bash's own names of files
    assert complete("man") == []  # hidden


def test_bash_falls_back_to_files(bertie):
    done = subprocess.run(["bash", "--norc", "-c", 'source <("$1" completion bash); complete -p bertie', "bash", bertie],
                          capture_output=True, text=True)
    assert done.stdout.strip() == "complete -o bashdefault -o default -F _bertie bertie"


def test_the_bash_script_is_sound(run, tmp_path):
    script = tmp_path / "bertie.bash"
    script.write_text("#!/bin/bash\n" + run("completion", "bash").stdout)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_completions_stay_out_of_a_closed_pipe(bertie):
    done = subprocess.run(["bash", "-o", "pipefail", "-c", '"$1" completion zsh | true', "bash", bertie])
    assert done.returncode == 0
