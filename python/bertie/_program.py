"""Runs the program for what it does in a process of its own: training, and fetching models."""

import os
import pathlib
import shutil
import subprocess

from ._core import Error


def path():
    """The program of this package; else $BERTIE, else the one on the PATH."""
    packaged = pathlib.Path(__file__).parent / "_bin" / "bertie"
    if packaged.is_file():
        return str(packaged)
    found = os.environ.get("BERTIE") or shutil.which("bertie")
    if not found:
        raise Error(f"no program: {packaged} is not there, $BERTIE is not set and the PATH has no bertie")
    return found


def flags(options):
    """{"batch_size": 16, "resume": True} as ["--batch-size", "16", "--resume"]; None and False are left out."""
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words


def run(*words, quiet=False):
    """Waits for the program; its standard output, which is captured, as text. Error when it fails.

    Its progress goes to this process's standard error, unless it is to be quiet. Ctrl-C reaches it as it
    reaches this process: it ends in its own order (training writes a checkpoint first).
    """
    process = subprocess.Popen([path(), *map(str, words)], stdout=subprocess.PIPE, text=True, encoding="utf-8",
                               stderr=subprocess.PIPE if quiet else None)
    try:
        output, errors = process.communicate()
    except KeyboardInterrupt:
        process.communicate()
        raise
    if process.returncode != 0:
        told = (errors or "").strip() or f"bertie {words[0]} ended with exit code {process.returncode}"
        raise Error(told)
    return output
