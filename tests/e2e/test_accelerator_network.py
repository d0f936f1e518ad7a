"""`bertie serve --accelerator` and `bertie accelerator` when what lies between them fails: a network
that swallows, bytes that are no protocol, ports that refuse; and TLS between the two."""

import contextlib
import os
import re
import socket
import threading
import time

import pytest
from conftest import free_port
from test_accelerator import (TEXTS, TYPE, Load, accelerator, attached, by, local_logits,  # noqa: F401
                              metric, wait_for)
from tls_files import authority  # noqa: F401


class Proxy:
    """A port that leads to another one: whole, silent, closed, or with bytes of its own."""

    def __init__(self, address):
        self.target = address.rsplit(":", 1)
        self.flowing, self.closed, self.taken, self.pairs = threading.Event(), False, 0, []
        self.flowing.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                self.taken += 1
                if self.closed:
                    near.close()
                    continue
                far = socket.create_connection((self.target[0], int(self.target[1])))
                self.pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()


@pytest.fixture
def proxy():
    made = []

    def start(there):
        made.append(Proxy(there.address))
        return made[-1]

    yield start
    for each in made:
        each.listener.close()
        each.flowing.set()
        each.cut()


def reachable(server, address):
    return metric(server, f'attached{{address="{address}"}}') == 1


def test_a_network_that_swallows(serve, accelerator, proxy, tiny_model, local_logits):
    """Both ends of every connection stay open, and nothing comes through."""
    there = accelerator()
    between = proxy(there)
    flags = ("--accelerator", between.address, *TYPE, "--request-timeout", 2)
    strict, kind = serve(tiny_model, *flags, "--no-fallback"), serve(tiny_model, *flags)
    for server in (strict, kind):
        assert server.invoke(TEXTS).json() == local_logits
    between.flowing.clear()
    begin = time.monotonic()
    refused = strict.invoke(TEXTS[0])
    assert refused.status == 503 and 1.9 < time.monotonic() - begin < 8
    for _ in range(4):
        asked = time.monotonic()
        assert kind.invoke(TEXTS).json() == local_logits
        assert time.monotonic() - asked < 2
    # Pings, not requests, tell both ends that nobody is there.
    wait_for(lambda: strict.request("GET", "/ping").status == 503)
    assert time.monotonic() - begin < 20
    asked = time.monotonic()
    assert strict.invoke(TEXTS[0]).status == 503 and time.monotonic() - asked < 1.5
    wait_for(lambda: len(re.findall("endpoint .* left", there.log.read_text())) >= 2)
    between.flowing.set()
    for server in (strict, kind):
        wait_for(lambda s=server: reachable(s, between.address))
        assert server.invoke(TEXTS).json() == local_logits


HTTP2 = b"\0\0\0\4\0\0\0\0\0"  # empty settings
GARBAGE = [os.urandom(3000), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP2 + os.urandom(3000),
           HTTP2 + b"\xff\xff\xff\1\5\0\0\0\1" + bytes(100), HTTP2 + b"\0\0\4\3\0\0\0\0\1\0\0\0\0", b""]


def test_bytes_that_are_no_protocol(serve, accelerator, proxy, tiny_model, local_logits):
    """From a port that speaks something else, and in the middle of a session, both ways."""
    stranger = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{stranger.getsockname()[1]}"
    taken = []

    def speak():
        with contextlib.suppress(OSError):
            while True:
                peer = stranger.accept()[0]
                with contextlib.suppress(OSError):
                    peer.sendall(GARBAGE[len(taken) % len(GARBAGE)])
                    peer.shutdown(socket.SHUT_WR)
                taken.append(peer)

    threading.Thread(target=speak, daemon=True).start()
    there = accelerator()
    between = proxy(there)
    server = serve(tiny_model, "--accelerator", f"{address},{between.address}", *TYPE)
    wait_for(lambda: reachable(server, between.address))
    for garbage in GARBAGE[:4]:
        for end in (0, 1):  # to the endpoint, to the accelerator
            assert server.invoke(TEXTS).json() == local_logits
            with contextlib.suppress(OSError):
                between.pairs[-1][end].sendall(garbage)
            before = metric(server, "attachments_total")
            between.cut()
            wait_for(lambda: metric(server, "attachments_total") > before)  # noqa: B023
    wait_for(lambda: len(taken) >= len(GARBAGE))
    stranger.close()
    wait_for(lambda: reachable(server, between.address))
    before = by(server, "accelerator")
    assert server.invoke(TEXTS).json() == local_logits
    assert by(server, "accelerator") > before
    assert there.process.poll() is None and not reachable(server, address)


def test_an_outage_costs_a_few_attempts(serve, accelerator, proxy, tiny_model, local_logits):
    there = accelerator()
    between = proxy(there)
    server = serve(tiny_model, "--accelerator", between.address, *TYPE)
    load = Load(server, local_logits)
    load.more(100)  # enough to know its 99th percentile

    def calls():
        return metric(server, "sent_batches_total")

    # It takes batches and answers none: five failures, and those sent before they were known.
    between.flowing.clear()
    load.more(1)
    before, hedged = calls(), metric(server, "hedged_batches_total")
    load.more(300)
    assert calls() - before <= 8
    assert 1 <= metric(server, "hedged_batches_total") - hedged <= 10
    between.flowing.set()
    wait_for(lambda: reachable(server, between.address))
    # It is not there: no batch is sent, and connections are tried after 0.1, 0.3, 0.7 s and so on.
    between.closed = True
    between.cut()
    wait_for(lambda: not reachable(server, between.address))
    before, connections, begin = calls(), between.taken, time.monotonic()
    load.more(300)
    time.sleep(max(0, begin + 1.5 - time.monotonic()))
    passed = time.monotonic() - begin
    assert calls() == before
    assert 2 <= between.taken - connections <= 4 + passed
    between.closed = False
    wait_for(lambda: reachable(server, between.address))
    load.end()
    assert load.bad == []


def access(folder, own=None, ca="ca"):
    flags = ["--accelerator-tls-ca", folder / f"{ca}.pem"]
    return flags + (["--accelerator-tls-cert", folder / f"{own}.pem", "--accelerator-tls-key",
                     folder / f"{own}.key"] if own else [])


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(serve, run, accelerator, authority, tiny_model, local_logits, mutual):
    flags = ["--tls-cert", authority / "server.pem", "--tls-key", authority / "server.key"]
    there = accelerator(*map(str, flags), *(["--tls-client-ca", str(authority / "ca.pem")] if mutual else []))
    assert ("with mutual TLS" if mutual else "with TLS") in there.log.read_text()
    own = "client" if mutual else None
    server = serve(tiny_model, "--accelerator", there.address, *TYPE, "--no-fallback", *access(authority, own))
    assert server.invoke(TEXTS).json() == local_logits
    assert by(server, "accelerator") >= 1
    port = there.address.split(":")[1]  # by another of the names in the certificate
    named = serve(tiny_model, "--accelerator", f"localhost:{port}", *TYPE, "--no-fallback",
                  *access(authority, own))
    assert named.invoke(TEXTS).json() == local_logits
    wrong = [[], access(authority, own, ca="stranger")]
    if mutual:
        wrong += [access(authority), access(authority, "unknown"), access(authority, "expired")]
    for flags in wrong:
        refused = run("serve", tiny_model, "--port", free_port(), "--accelerator", there.address, *TYPE,
                      "--no-fallback", *flags, timeout=30)
        assert refused.returncode == 1 and f"{there.address} cannot be reached" in refused.stderr, flags
        assert "TLS" in refused.stderr
    assert server.invoke(TEXTS).json() == local_logits
    assert there.process.poll() is None
