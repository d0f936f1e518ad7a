"""A server that answers as the Hugging Face hub does, with a second one for the store it redirects to.

Only what a client sees is made up to be like the hub (routes, fields, codes); sockets, HTTP, redirections,
ranges and TLS are real. Knobs on HubServer make it misbehave.
"""

import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import threading
import time
import urllib.parse

LARGE = 10_000  # bytes from which a file is kept in the store, under its SHA-256


def etag_of(content):
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Model:
    def __init__(self, files, refs=None):
        self.commits = {}
        self.refs = {}
        self.gated = self.private = False
        self.add("main", files)
        for ref in refs or []:
            self.refs[ref] = self.refs["main"]

    def add(self, ref, files):
        commit = hashlib.sha1(repr(sorted(files)).encode() + b"".join(files.values())).hexdigest()
        self.commits[commit] = files
        self.refs[ref] = commit
        return commit

    def commit(self, revision):
        return revision if revision in self.commits else self.refs.get(revision)


class HubServer:
    """hub.models[ID] = Model(...). Tokens that are good are in hub.tokens."""

    def __init__(self, certificate=None):
        self.models, self.renamed = {}, {}
        self.tokens = {"hf_good"}
        self.requests = []      # (place, method, path, fields), in order
        self.sent = {}          # bytes of bodies that were sent, by etag
        self.answers = []       # (status, fields) to give first, one a request to the hub
        self.lengths = []       # bytes after which bodies of the store are cut, one a request
        self.ranges = True      # the store knows them
        self.damaged = set()    # etags whose content arrives changed
        self.sizes = {}         # etag -> size that is claimed for it
        self.etag_form = '"{}"'
        self.speed = None       # bytes a second
        self.stalls = []        # bytes after which the store says nothing more, one a request
        self.go_on = threading.Event()
        self.location = None    # instead of the store's URL
        self._lock = threading.Lock()
        self.hub = self._start("hub", "127.0.0.1", certificate)
        self.store = self._start("store", "localhost", certificate)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.hub.server_port}"
        self.store_url = f"{scheme}://localhost:{self.store.server_port}"

    def _start(self, place, host, certificate):
        outer = self

        class Handler(_Handler):
            owner, where = outer, place

        server = _Server((host, 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def close(self):
        self.go_on.set()
        for server in (self.hub, self.store):
            server.shutdown()
            server.server_close()

    def count(self, etag, number):
        with self._lock:
            self.sent[etag] = self.sent.get(etag, 0) + number

    def next(self, queue):
        with self._lock:
            return queue.pop(0) if queue else None

    def asked(self, place, method=None):
        return [r for r in self.requests if r[0] == place and method in (None, r[1])]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks for the host's name
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        pass  # a client that went away, or that does not trust the certificate


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        self.owner.requests.append((self.where, self.command, self.path, dict(self.headers)))
        if self.where == "store":
            return self.blob(path.rsplit("/", 1)[1])
        planned = self.owner.next(self.owner.answers)
        if planned:
            return self.answer(planned[0], b"", planned[1])
        parts = [urllib.parse.unquote(part) for part in path.split("/")[1:]]
        if parts[0] == "api" and parts[1] == "resolve-cache":
            return self.small("/".join(parts[3:-2]), parts[-2], parts[-1])
        for split in ("revision", "tree", "resolve"):
            if split in parts:
                at = parts.index(split)
                start = 2 if parts[0] == "api" else 0
                return self.of_model("/".join(parts[start:at]), split, parts[at + 1], parts[at + 2:])
        return self.refuse(404, "", "no such page")

    def of_model(self, name, kind, revision, rest):
        owner = self.owner
        if name in owner.renamed:
            return self.answer(307, b"", {"Location": self.path.replace(name, owner.renamed[name], 1)})
        sign = self.headers.get("Authorization")
        known = sign is not None and sign.removeprefix("Bearer ") in owner.tokens
        if sign is not None and not known:
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        model = owner.models.get(name)
        if model is None or (model.private and not known):
            return self.refuse(404 if known else 401, "RepoNotFound", "Repository not found")
        if kind == "resolve" and model.gated and not (known and model.gated == "granted"):
            return self.refuse(403 if known else 401, "GatedRepo", "Access to model is restricted")
        commit = model.commit(revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = model.commits[commit]
        if kind == "revision":
            return self.json({"id": name, "sha": commit,
                              "siblings": [{"rfilename": file} for file in sorted(files)]})
        if kind == "tree":
            return self.json([{"type": "file", "path": file, "size": len(content),
                               "oid": hashlib.sha1(content).hexdigest(),
                               **({"lfs": {"oid": etag_of(content), "size": len(content),
                                           "pointerSize": 134}} if len(content) >= LARGE else {})}
                              for file, content in sorted(files.items())])
        file = "/".join(rest)
        if file not in files:
            return self.refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        content = files[file]
        etag = etag_of(content)
        fields = {"X-Repo-Commit": commit}
        if len(content) < LARGE:
            fields["Location"] = f"/api/resolve-cache/models/{name}/{commit}/{urllib.parse.quote(file)}"
            return self.answer(307, b"", fields)
        fields |= {"X-Linked-Etag": owner.etag_form.format(etag), "ETag": '"of-the-redirection"',
                   "X-Linked-Size": str(owner.sizes.get(etag, len(content))),
                   "Location": owner.location or f"{owner.store_url}/blobs/{etag}?signed=1"}
        return self.answer(302, b"Found", fields)

    def small(self, name, commit, file):
        content = self.owner.models[name].commits[commit][file]
        etag = etag_of(content)
        if self.command == "GET":
            self.owner.count(etag, len(content))
            if etag in self.owner.damaged:
                content = bytes([content[0] ^ 1]) + content[1:]
        self.answer(200, content, {"X-Repo-Commit": commit, "ETag": self.owner.etag_form.format(etag)})

    def blob(self, etag):
        owner = self.owner
        content = next(c for model in owner.models.values() for files in model.commits.values()
                       for c in files.values() if etag_of(c) == etag)
        if etag in owner.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, start = 200, 0
        wanted = self.headers.get("Range")
        fields = {"ETag": '"of-the-store"'}
        if wanted and owner.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            status = 206
            fields["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = memoryview(content)[start:]
        self.head(status, len(body), fields)
        if self.command == "HEAD":
            return
        stall = owner.next(owner.stalls)
        cut = owner.next(owner.lengths) if stall is None else stall
        end = len(body) if cut is None else min(cut, len(body))
        piece = 65536 if owner.speed is None else max(1, owner.speed // 50)
        for at in range(0, end, piece):
            sent = body[at:min(at + piece, end)]
            self.wfile.write(sent)
            owner.count(etag, len(sent))
            if owner.speed:
                time.sleep(len(sent) / owner.speed)
        if stall is not None:
            owner.go_on.wait(60)
        if cut is not None:
            # A reset, as from a machine that is gone, after what was sent has left.
            self.wfile.flush()
            time.sleep(0.005)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status, code, message, fields=None):
        self.answer(status, json.dumps({"error": message}).encode(),
                    {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}),
                     **(fields or {})})

    def head(self, status, length, fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status, body, fields):
        self.head(status, len(body), fields)
        if self.command != "HEAD":
            self.wfile.write(body)
