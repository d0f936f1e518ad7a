#!/usr/bin/env python3
"""Does what a page of the documentation says, step by step, in a folder of its own.

usage: run_page.py PAGE.md FOLDER

Environment: BERTIE, the program; BERTIE_MINILM, all-MiniLM-L6-v2; PAGE_CLASSIFIER, a small trained model with
the labels negative and positive. Exit code 1, and the page's line, where a command ends otherwise than the
page says or prints something of another shape.

Pages name ports (8080, ...), so this runs in a network namespace without any other host where it can make one.
"""

import fcntl
import importlib.machinery
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import page as pages  # noqa: E402
from shape import difference  # noqa: E402
from shell import Shell, StepFailed, server_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def loopback_up():
    """Brings the loopback interface of a new network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, 0x8913, request))[1]  # SIOCGIFFLAGS
        fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", flags | 1))      # SIOCSIFFLAGS, IFF_UP


def environment(folder):
    program = pathlib.Path(os.environ["BERTIE"]).resolve()
    home, work = folder / "home", folder / "page"
    for each in (home, work, folder / "tmp"):
        each.mkdir(parents=True)
    # No progress, as at a terminal; an answer that is a refusal is not what the page means.
    (home / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    path = [program.parent, pathlib.Path(sys.executable).parent, os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items()
            if name in ("BERTIE_MINILM", "PAGE_CLASSIFIER", "PAGE_MAILS", "LD_LIBRARY_PATH", "PYENV_VERSION",
                        "PYENV_ROOT")}
    return kept | {"PATH": ":".join(map(str, path)), "HOME": str(home), "PWD": str(work), "USER": "reader",
                   "TMPDIR": str(folder / "tmp"), "LC_ALL": "C.UTF-8", "TERM": "dumb", "SOURCE": str(ROOT),
                   "PYTHONPATH": str(program.parent / "python"),  # where the build has left the package
                   "HF_ENDPOINT": "http://127.0.0.1:9"}  # nobody, until the page has a hub


class Reader:
    """One who takes the steps of a page."""

    def __init__(self, page, folder):
        self._page, self._folder = page, folder
        self._environment = environment(folder)
        self._work = pathlib.Path(self._environment["PWD"])
        self._steps = folder / "steps"
        self._steps.mkdir()
        self._shell = Shell(self._steps, self._environment)
        self._words, self._flags = {}, {}
        self._printed = ""
        self._hubs = []

    def read(self):
        """What went wrong, a text for each step that did; the steps after one are taken all the same."""
        wrong = []
        try:
            for step in self._page.steps:
                began = time.monotonic()
                try:
                    done = self._take(step)
                except StepFailed as error:
                    done = f"WRONG: {step.text.strip()}"
                    wrong.append(f"line {step.line}: {step.text.strip()}\n{error}")
                if done:
                    print(f"{time.monotonic() - began:6.1f} s  line {step.line}: {done}", flush=True)
            try:
                self._shell.stop_all()
            except StepFailed as error:
                wrong.append(str(error))
        finally:
            self._shell.close()
            for hub in self._hubs:
                hub.kill()
                hub.wait()
        return wrong

    def _take(self, step):
        lacking = [name for name in step.needs if not self._has(name)]
        if lacking:
            return f"left out, for want of {' '.join(lacking)}: {step.text}"
        return getattr(self, "_" + step.kind)(step)

    def _has(self, name):
        kind, _, module = name.partition(":")
        if kind == "python" and module:
            return importlib.machinery.PathFinder.find_spec(
                module, [*sys.path, self._environment["PYTHONPATH"]]) is not None
        return shutil.which(name, path=self._environment["PATH"]) is not None

    def _let(self, step):
        self._words |= dict(pair.split("=", 1) for pair in step.text.split())

    def _with(self, step):
        command, _, flags = step.text.partition(" ")
        self._flags[command] = flags

    def _skip(self, step):
        return f"left out: {step.text}"

    def _save(self, step):
        path = self._work / step.shown[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)

    def _hub(self, step):
        address = self._folder / "hub"
        self._hubs.append(subprocess.Popen([sys.executable, HERE / "hub.py", address, *step.text.split()],
                                              env=os.environ | {"no_proxy": "*"}))
        while not address.exists():
            if self._hubs[-1].poll() is not None:
                raise StepFailed("the hub ended")
            time.sleep(0.02)
        self._shell.run(f"export HF_ENDPOINT={address.read_text()}")

    def _setup(self, step):
        self._expect(f". {HERE / 'setup.sh'}\nset -e\n{step.text}\nset +e", [])

    def _python(self, step):
        script = self._steps / f"line-{step.line}.py"
        script.write_text(self._said(step.text))
        self._expect(f"python3 {script}", [])
        return "python"

    def _shows(self, step):
        wrong = difference(step.shown, self._printed.splitlines())
        if wrong:
            raise StepFailed(f"printed something else:\n{wrong}")

    def _command(self, step):
        command = self._said(step.text)
        port = server_port(command)
        if port is None:
            self._expect(command, step.shown)
        else:
            log = self._shell.serve(command, port)
            # Below what the page shows a server goes on talking.
            wrong = difference([*step.shown, "..."], log.read_text().splitlines()) if any(step.shown) else None
            if wrong:
                raise StepFailed(f"the server printed something else:\n{wrong}")
        return command.splitlines()[0]

    def _said(self, text):
        for word, meant in self._words.items():
            text = pages.replace_word(text, word, meant)
        return re.sub(r"(?<!\S)bertie (\w+)(?= )",
                      lambda found: " ".join([found.group(), self._flags.get(found.group(1), "")]).rstrip(), text)

    def _expect(self, command, shown):
        code, self._printed = self._shell.run(command)
        if code != 0:
            raise StepFailed(f"exit code {code}; printed:\n{self._printed[-4000:]}")
        wrong = difference(shown, self._printed.splitlines()) if any(line.strip() for line in shown) else None
        if wrong:
            raise StepFailed(f"printed something else:\n{wrong}")


def main():
    path, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    if os.environ.get("PAGE_NAMESPACE") == "own":
        loopback_up()
    try:
        wrong = Reader(pages.read_page(path.read_text(encoding="utf-8")), folder).read()
    except (StepFailed, pages.PageError) as error:
        wrong = [str(error)]
    for text in wrong:
        print(f"{path}: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
