"""Man pages under mandoc, completions in real zsh and fish (apt: mandoc, zsh, fish)."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

BERTIE = pathlib.Path(os.environ["BERTIE"]).resolve()


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def printed(*arguments):
    return subprocess.run([BERTIE, *arguments], capture_output=True, text=True, check=True).stdout


def test_mandoc_finds_nothing(tmp_path):
    need("mandoc")
    subprocess.run([BERTIE, "man", "--out", tmp_path], check=True)
    pages = sorted(tmp_path.iterdir())
    assert len(pages) > 10
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout


def fish(line):
    path = f"{BERTIE.parent}:{os.environ['PATH']}"
    done = subprocess.run(["fish", "--no-config", "-c", "bertie completion fish | source; complete -C $argv[1]", line],
                          capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert not done.stderr, done.stderr
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


def test_fish():
    need("fish")
    assert {"train", "serve", "data", "doctor"} <= set(fish("bertie "))
    assert "man" not in fish("bertie ")
    assert fish("bertie data ") == ["split", "stats"]
    assert fish("bertie serve --preci") == ["--precision"]
    assert fish("bertie serve --precision ") == ["bf16", "fp32", "int8"]
    assert "--out" in fish("bertie data split --")
    assert "--precision" not in fish("bertie data split --")


class Zsh:
    """An interactive zsh that has the script where packages put it."""

    def __init__(self, home):
        functions = home / "functions"
        functions.mkdir()
        (functions / "_bertie").write_text(printed("completion", "zsh"))
        (home / ".zshrc").write_text(f"PS1='> '\nPATH={BERTIE.parent}:$PATH\nfpath=({functions} $fpath)\n"
                                     "autoload -U compinit && compinit -u -D\nzstyle ':completion:*' list-prompt ''\n"
                                     "LISTMAX=1000\nprint READY\n")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(ZDOTDIR=str(home), HOME=str(home), TERM="dumb", COLUMNS="200", LINES="100")
            os.chdir(home)
            os.execvp("zsh", ["zsh", "-i"])
        self.until("READY")

    def until(self, text, seconds=20):
        seen, end = "", time.monotonic() + seconds
        while text not in seen and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                seen += os.read(self.fd, 4096).decode(errors="replace")
        assert text in seen, seen
        return seen

    def complete(self, line, expected):
        """Types the line and a tab; returns what the terminal showed by when `expected` came."""
        os.write(self.fd, b"\x15" + line.encode() + b"\t")
        shown = self.until(expected)
        os.write(self.fd, b"\x03")
        return shown

    def close(self):
        os.write(self.fd, b"\x03\x04")
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_zsh(tmp_path):
    need("zsh")
    zsh = Zsh(tmp_path)
    try:
        zsh.complete("bertie ser", "serve ")
        zsh.complete("bertie serve --preci", "--precision=")
        zsh.complete("bertie serve --precision i", "int8")
        zsh.complete("bertie data sp", "split")
        zsh.complete("bertie data split --ou", "--out")
        shown = zsh.complete("bertie completion ", "fish")
        assert re.search("bash.*fish.*zsh", shown, re.S)
    finally:
        zsh.close()
