"""One shell that lives as long as a page, so that what a reader sets or starts stays."""

import os
import re
import signal
import socket
import subprocess
import time

# What does not come back by itself: a reader gives it a shell of its own.
_SERVER = re.compile(r"^\s*(?:\w+=\S*\s+)*bertie\s+(serve|cloud|accelerator)\b(?!\s+(?:env|status|--help))")
_PORTS = {"serve": 8080, "cloud": 4566, "accelerator": 50051}


class StepFailed(Exception):
    pass


def server_port(command):
    """The port on which `command` will answer until it is stopped, or None where it is no server."""
    found = _SERVER.match(command)
    if not found:
        return None
    port = re.search(r"--port[= ](\d+)", command) or re.search(r"--listen[= ]\S*:(\d+)", command)
    return int(port.group(1)) if port else _PORTS[found.group(1)]


class Shell:
    """`environment` has PWD, where it begins; scripts and logs of its commands go to `folder`."""

    def __init__(self, folder, environment):
        self._folder = folder
        self._count = 0
        self._servers = {}  # port -> (process number, log)
        self._done, done = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=environment["PWD"], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, pass_fds=[done], start_new_session=True, text=True)
        os.close(done)
        self._say = done

    def run(self, command, limit=300):
        """(exit code, output) of a command that ends."""
        self._count += 1
        script, log = self._files(command)
        try:
            code = self._answer(f". {script} >{log} 2>&1 </dev/null; echo $? >&{self._say}\n", limit)
        except StepFailed as error:
            raise StepFailed(f"{error}; printed:\n{log.read_text()[-4000:]}") from error
        return code, log.read_text()

    def serve(self, command, port, limit=60):
        """Starts a server and returns what it printed until it took connections."""
        self.stop(port)
        if _answers(port):
            raise StepFailed(f"port {port} is another process's")
        self._count += 1
        # exec: the number is then the program's own.
        program = re.sub(r"(?<!\S)bertie\b", "exec bertie", command.rstrip().removesuffix("&"), count=1)
        script, log = self._files(program)
        number = self._answer(f". {script} >{log} 2>&1 </dev/null & echo $! >&{self._say}\n", limit)
        self._servers[port] = number, log
        end = time.monotonic() + limit
        while not _answers(port):
            if time.monotonic() > end or not _runs(number):
                raise StepFailed(f"no server on port {port}\n{log.read_text()}")
            time.sleep(0.05)
        time.sleep(0.1)  # its first lines
        return log

    def stop(self, port):
        """Ends the server on `port`, if this page began one, as Ctrl-C in its shell would."""
        if port not in self._servers:
            return
        number, log = self._servers.pop(port)
        if _runs(number):
            os.kill(number, signal.SIGTERM)
        end = time.monotonic() + 40
        while _runs(number) and time.monotonic() < end:
            time.sleep(0.05)
        if _runs(number):
            raise StepFailed(f"the server on port {port} did not end\n{log.read_text()}")
        code = self._answer(f"wait {number}; echo $? >&{self._say}\n", 10)
        if code != 0:
            raise StepFailed(f"the server on port {port} ended with exit code {code}\n{log.read_text()}")

    def stop_all(self):
        for port in list(self._servers):
            self.stop(port)

    def close(self):
        """Ends everything, whatever became of it."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def _files(self, command):
        script = self._folder / f"step-{self._count}.sh"
        script.write_text(command + "\n")
        return script, self._folder / f"step-{self._count}.log"

    def _answer(self, line, limit):
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise StepFailed("the shell has ended") from None
        end = time.monotonic() + limit
        text = b""
        os.set_blocking(self._done, False)
        while not text.endswith(b"\n"):
            try:
                text += os.read(self._done, 64)
            except BlockingIOError:
                time.sleep(0.005)
            if time.monotonic() > end:
                raise StepFailed(f"no end within {limit} s")
            if self._process.poll() is not None:
                raise StepFailed("the shell ended")
        return int(text)


def _runs(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _answers(port):
    with socket.socket() as client:
        client.settimeout(1)
        if client.connect_ex(("127.0.0.1", port)):
            return False
        if port == _PORTS["accelerator"]:
            return True
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        try:
            return not client.recv(64).startswith(b"HTTP/1.1 503")
        except OSError:
            return False
