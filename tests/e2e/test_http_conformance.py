"""HTTP/1.1 as RFC 9110 and 9112 have it, byte by byte, against a running `bertie serve`.

Each case is followed on the same connection by a second request. After an illegal message the second
must not be answered: a program before or after the server could have taken it for part of a body.
"""

import re
import socket
import subprocess
import time

import pytest

HOST = b"Host: localhost\r\n"
NEXT = b"GET /health HTTP/1.1\r\nHost: next\r\n\r\n"
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(bertie, tiny_model, tmp_path_factory):
    log = tmp_path_factory.mktemp("conformance") / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [bertie, "serve", tiny_model, "--port", "0", "--threads", "1", "--header-timeout", "3"],
            stdin=subprocess.DEVNULL, stderr=out)
    end = time.monotonic() + 20
    found = None
    while not found and time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)", log.read_text())
        time.sleep(0.01)
    yield int(found.group(1))
    process.terminate()
    assert process.wait(35) == 0, log.read_text()


def exchange(port, data, timeout=8):
    """Sends everything, then reads until the server closes or stays silent for 0.15 s."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        try:
            sock.sendall(data)
        except OSError:
            pass  # the server has heard enough; what it said is still to be read
        received = b""
        sock.settimeout(timeout)
        while True:
            try:
                piece = sock.recv(65536)
            except socket.timeout:
                return received, False
            except ConnectionResetError:
                return received, True
            if not piece:
                return received, True
            received += piece
            sock.settimeout(0.15)


def statuses(received):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def post(fields, body=b""):
    return b"POST /invocations HTTP/1.1\r\n" + HOST + JSON + fields + b"\r\n" + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


def get(line, fields=HOST):
    return line + b"\r\n" + fields + b"\r\n"


ILLEGAL = {
    # Framing: RFC 9112 section 6 and 11.2
    "length and chunked": (post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked and length": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"0\r\n\r\n"), 400),
    "two lengths that differ": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b'"a"'), 400),
    "two lengths that agree": (post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b'"a"'), 400),
    "a list of lengths": (post(b"Content-Length: 3, 3\r\n", b'"a"'), 400),
    "a signed length": (post(b"Content-Length: +3\r\n", b'"a"'), 400),
    "a negative length": (post(b"Content-Length: -3\r\n", b'"a"'), 400),
    "a hexadecimal length": (post(b"Content-Length: 0x3\r\n", b'"a"'), 400),
    "a length in words": (post(b"Content-Length: three\r\n", b'"a"'), 400),
    "an empty length": (post(b"Content-Length:\r\n", b'"a"'), 400),
    "a length of 2^64+3": (post(b"Content-Length: 18446744073709551619\r\n", b'"a"'), 400),
    "a length of 2^63": (post(b"Content-Length: 9223372036854775808\r\n", b'"a"'), 400),
    "a length with a blank inside": (post(b"Content-Length: 3 3\r\n", b'"a"'), 400),
    "a length over the limit": (post(b"Content-Length: 7000000\r\n"), 413),
    "chunked not last": (post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked on two lines": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "identity and chunked": (post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "an unknown coding": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    "a known coding that is not offered": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "a vertical tab before chunked": (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400),
    "a blank before the colon of Transfer-Encoding": (post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    "a folded Transfer-Encoding": (post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked in HTTP/1.0": (b"POST /invocations HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Chunks: RFC 9112 section 7.1
    "a chunk size with 0x": (chunked(b'0x3\r\n"a"\r\n0\r\n\r\n'), 400),
    "a signed chunk size": (chunked(b'+3\r\n"a"\r\n0\r\n\r\n'), 400),
    "a negative chunk size": (chunked(b'-3\r\n"a"\r\n0\r\n\r\n'), 400),
    "a blank before the chunk size": (chunked(b' 3\r\n"a"\r\n0\r\n\r\n'), 400),
    "a blank after the chunk size": (chunked(b'3 \r\n"a"\r\n0\r\n\r\n'), 400),
    "a chunk size over 2^64": (chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size of 2^63": (chunked(b"8000000000000000\r\nabc\r\n0\r\n\r\n"), 413),
    "an empty chunk size": (chunked(b'\r\n"a"\r\n0\r\n\r\n'), 400),
    "LF alone after the chunk size": (chunked(b'3\n"a"\r\n0\r\n\r\n'), 400),
    "CR alone after the chunk size": (chunked(b'3\r"a"\r\n0\r\n\r\n'), 400),
    "LF alone in a chunk extension": (chunked(b'3;a\n"a"\r\n0\r\n\r\n'), 400),
    "NUL in a chunk extension": (chunked(b'3;a\0\r\n"a"\r\n0\r\n\r\n'), 400),
    "LF alone after the chunk": (chunked(b'3\r\n"a"\n0\r\n\r\n'), 400),
    "data longer than the chunk size": (chunked(b'2\r\n"a"\r\n0\r\n\r\n'), 400),
    "LF alone after the last chunk": (chunked(b'3\r\n"a"\r\n0\r\n\n'), 400),
    "a trailer without a colon": (chunked(b'3\r\n"a"\r\n0\r\noops\r\n\r\n'), 400),
    "a flood of chunk extensions": (chunked(b"1;" + b"x" * 20000 + b"\r\n"), 431),
    # Host: RFC 9112 section 3.2
    "no Host": (get(b"GET /health HTTP/1.1", b""), 400),
    "two Hosts": (get(b"GET /health HTTP/1.1", HOST + HOST), 400),
    "two hosts in one field": (get(b"GET /health HTTP/1.1", b"Host: a, b\r\n"), 400),
    "a Host with a path": (get(b"GET /health HTTP/1.1", b"Host: a/b\r\n"), 400),
    "a Host with a user": (get(b"GET /health HTTP/1.1", b"Host: a@b\r\n"), 400),
    "an empty Host": (get(b"GET /health HTTP/1.1", b"Host:\r\n"), 400),
    # Request line: RFC 9112 section 3
    "two blanks in the request line": (get(b"GET  /health HTTP/1.1"), 400),
    "a tab in the request line": (get(b"GET\t/health HTTP/1.1"), 400),
    "a blank in the target": (get(b"GET /he alth HTTP/1.1"), 400),
    "a blank after the version": (get(b"GET /health HTTP/1.1 "), 400),
    "a blank before the method": (get(b" GET /health HTTP/1.1"), 400),
    "no target": (get(b"GET HTTP/1.1"), 400),
    "no version": (b"GET /health\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /health\r\n\r\n", 400),
    "a version in lower case": (get(b"GET /health http/1.1"), 400),
    "version 1.10": (get(b"GET /health HTTP/1.10"), 400),
    "version 2.0": (get(b"GET /health HTTP/2.0"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a method that is no token": (get(b"GE(T /health HTTP/1.1"), 400),
    "CONNECT": (get(b"CONNECT localhost:80 HTTP/1.1"), 501),
    "asterisk with GET": (get(b"GET * HTTP/1.1"), 400),
    "a target that is no path": (get(b"GET health HTTP/1.1"), 400),
    "a target with a fragment": (get(b"GET /health#a HTTP/1.1"), 400),
    "a target with a raw byte": (get(b"GET /\xff HTTP/1.1"), 400),
    "a target with a broken percent": (get(b"GET /%4 HTTP/1.1"), 400),
    "a target of 9 kB": (get(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    # Fields: RFC 9112 section 5, RFC 9110 section 5
    "LF alone after the request line": (b"GET /health HTTP/1.1\n" + HOST + b"\r\n", 400),
    "LF alone after a field": (b"GET /health HTTP/1.1\r\nHost: a\n\r\n", 400),
    "LF alone at the head's end": (b"GET /health HTTP/1.1\r\n" + HOST + b"\n", 400),
    "CR alone in a field": (get(b"GET /health HTTP/1.1", HOST + b"X: a\rb\r\n"), 400),
    "NUL in a field": (get(b"GET /health HTTP/1.1", HOST + b"X: a\0b\r\n"), 400),
    "a blank before a colon": (get(b"GET /health HTTP/1.1", b"Host : a\r\n"), 400),
    "a folded field": (get(b"GET /health HTTP/1.1", HOST + b"X: a\r\n b\r\n"), 400),
    "a blank before the first field": (get(b"GET /health HTTP/1.1", b" " + HOST), 400),
    "a field without a colon": (get(b"GET /health HTTP/1.1", HOST + b"X\r\n"), 400),
    "a field without a name": (get(b"GET /health HTTP/1.1", HOST + b": x\r\n"), 400),
    "a field's name that is no token": (get(b"GET /health HTTP/1.1", HOST + b"X[]: x\r\n"), 400),
    "17 kB of fields": (get(b"GET /health HTTP/1.1", HOST + b"X: " + b"a" * 17000 + b"\r\n"), 431),
    "101 fields": (get(b"GET /health HTTP/1.1", HOST + b"X: a\r\n" * 101), 431),
    "another expectation": (post(b"Expect: magic\r\nContent-Length: 3\r\n", b'"a"'), 417),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, 400),
    "bytes of no protocol": (bytes(range(256)) * 4, 400),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_is_refused_and_ends_the_connection(port, name):
    data, status = ILLEGAL[name]
    received, closed = exchange(port, data + NEXT)
    assert statuses(received) == [status], received
    assert closed
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert body.startswith(b'{"code":%d,"type":"' % status), body


LEGAL = {
    "a plain request": (get(b"GET /ping HTTP/1.1"), 200),
    "absolute form": (get(b"GET http://other.example/ping?x HTTP/1.1"), 200),
    "absolute form without a path": (get(b"GET http://other.example HTTP/1.1"), 200),  # GET /
    "an empty line first": (b"\r\n" + get(b"GET /ping HTTP/1.1"), 200),
    "HEAD": (get(b"HEAD /ping HTTP/1.1"), 200),
    "OPTIONS": (get(b"OPTIONS /ping HTTP/1.1"), 204),
    "OPTIONS with an asterisk": (get(b"OPTIONS * HTTP/1.1"), 204),
    "names in any case": (b"POST /invocations HTTP/1.1\r\nhOST: a\r\ncontent-LENGTH: 3\r\n\r\n\"a\"", 200),
    "blanks around a value": (post(b"Content-Length:  \t3\t \r\n", b'"a"'), 200),
    "zeros before a length": (post(b"Content-Length: 003\r\n", b'"a"'), 200),
    "a GET with a body": (get(b"GET /ping HTTP/1.1", HOST + b"Content-Length: 5\r\n") + b"hello", 200),
    "bytes above ASCII in a value": (get(b"GET /ping HTTP/1.1", HOST + b"X: \xc3\xa9\r\n"), 200),
    "fields that mean nothing here": (get(b"GET /ping HTTP/1.1", HOST + b"X-Amzn-SageMaker-Target-Model: a\r\nTE: x\r\n"), 200),
    "an upgrade that is not offered": (get(b"GET /ping HTTP/1.1", HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), 200),
    "chunks": (chunked(b'1\r\n"\r\n002;a="b c"\r\na"\r\n0\r\n\r\n'), 200),
    "chunked in capitals": (post(b"Transfer-Encoding: CHUNKED\r\n", b'3\r\n"a"\r\n0\r\n\r\n'), 200),
    "trailers": (chunked(b'3\r\n"a"\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n'), 200),
    "an IPv6 Host": (get(b"GET /ping HTTP/1.1", b"Host: [::1]:8080\r\n"), 200),
    "version 1.2": (get(b"GET /ping HTTP/1.2"), 200),
    "HTTP/1.0 that stays": (get(b"GET /ping HTTP/1.0", b"Connection: keep-alive\r\n"), 200),
    "an unknown path": (get(b"GET /nothing HTTP/1.1"), 404),
    "an unknown path with a body": (b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 404),
    "a dot segment": (get(b"GET /x/../ping HTTP/1.1"), 404),
    "an encoded path": (get(b"GET /%70ing HTTP/1.1"), 404),
    "a known path, wrong method": (get(b"DELETE /ping HTTP/1.1"), 405),
    "an unknown method": (get(b"BREW /ping HTTP/1.1"), 405),
    "TRACE": (get(b"TRACE /ping HTTP/1.1"), 405),
    "a body of the wrong type": (b"POST /invocations HTTP/1.1\r\n" + HOST + b"Content-Type: a/b\r\nContent-Length: 3\r\n\r\n\"a\"", 415),
    "an Accept that cannot be met": (post(b"Accept: image/png\r\nContent-Length: 3\r\n", b'"a"'), 406),
    "broken JSON": (post(b"Content-Length: 3\r\n", b'{"a'), 400),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_is_answered_and_the_connection_stays(port, name):
    data, status = LEGAL[name]
    received, closed = exchange(port, data + NEXT)
    assert statuses(received) == [status, 200], received
    assert not closed


@pytest.mark.parametrize("fields", [b"Connection: close\r\n", b"Connection: x, CLOSE\r\n"])
def test_close_is_honoured(port, fields):
    received, closed = exchange(port, get(b"GET /ping HTTP/1.1", HOST + fields) + NEXT)
    assert statuses(received) == [200]
    assert closed and b"\r\nConnection: close\r\n" in received


def test_http_1_0_closes(port):
    received, closed = exchange(port, b"GET /ping HTTP/1.0\r\n\r\n" + NEXT)
    assert statuses(received) == [200]
    assert closed


def test_405_names_the_methods(port):
    received, _ = exchange(port, get(b"PUT /invocations HTTP/1.1"))
    assert b"\r\nAllow: POST, OPTIONS\r\n" in received


def test_100_pipelined_requests_are_answered_in_order(port):
    data = b""
    expected = []
    for i in range(100):
        if i % 3 == 0:
            body = b'["the","sea"]' if i % 2 else b'"it"'
            data += post(b"Content-Length: %d\r\n" % len(body), body)
        else:
            data += get(b"GET /nothing%d HTTP/1.1" % i)
        expected.append(404 if i % 3 else 200)
    received, closed = exchange(port, data)
    assert statuses(received) == expected
    assert not closed


def test_continue_is_sent_only_when_the_body_is_wanted(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(post(b"Expect: 100-continue\r\nContent-Length: 3\r\n"))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'"a"')
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    received, closed = exchange(port, post(b"Expect: 100-continue\r\nContent-Length: 9000000\r\n"))
    assert statuses(received) == [413] and closed


def test_an_unfinished_request_gets_400_when_the_client_ends_it(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(post(b"Content-Length: 10\r\n", b'"a"'))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_half_closed_client_is_answered(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(post(b"Content-Length: 3\r\n", b'"a"') + NEXT)
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while piece := sock.recv(1000):
            received += piece
        assert statuses(received) == [200, 200]


def test_every_split_of_a_request_reads_the_same(port):
    data = chunked(b'3\r\n"a"\r\n0\r\nX: y\r\n\r\n')
    whole, _ = exchange(port, data)
    for cut in range(1, len(data), 7):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(data[:cut])
            time.sleep(0.002)
            sock.sendall(data[cut:])
            received = sock.recv(1000)
        assert received.split(b"\r\n\r\n")[1] == whole.split(b"\r\n\r\n")[1], cut


def test_no_answer_holds_a_client_up_forever(port):
    with socket.create_connection(("127.0.0.1", port), timeout=8) as sock:
        sock.sendall(b"GET /ping HTTP/1.1\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 408 ")
