"""What a flood does to a light endpoint: noisy_neighbour.py MODEL [--tokens N] [--threads N].

Starts BERTIE's accelerator. The light endpoint asks for one sentence of 16 tokens at a time, with a
pause of 4 ms between; the other keeps 16 batches of 128 tokens waiting. Times in the accelerator
(queue and computing) and of whole round trips, by turns alone and beside the flood.
"""

import argparse
import importlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import test_accelerator_server as endpoint  # noqa: E402


def load_protocol(folder):
    source = ROOT / "src" / "accelerator"
    assert protoc.main(["protoc", f"-I{source}", f"--python_out={folder}", f"--grpc_python_out={folder}",
                        "accelerator.proto"]) == 0
    sys.path.insert(0, folder)
    return importlib.import_module("accelerator_pb2"), importlib.import_module("accelerator_pb2_grpc")


def measure(session, sentence, count):
    inside, whole = [], []
    for _ in range(count):
        begin = time.perf_counter()
        session.ask([sentence])
        reply = session.reply()
        whole.append((time.perf_counter() - begin) * 1e3)
        inside.append((reply.queue_us + reply.compute_us) / 1e3)
        time.sleep(0.004)
    return "; ".join(f"{name} p50 {endpoint.percentile(values, .5):.2f} p99 {endpoint.percentile(values, .99):.2f} ms"
                     for name, values in (("in the accelerator", inside), ("round trip", whole)))


class Flood(threading.Thread):
    def __init__(self, session, sentence, sentences):
        super().__init__(daemon=True)
        self.session, self.batch = session, [sentence] * sentences
        self.on, self.batches = threading.Event(), 0

    def run(self):
        under_way = 0
        while True:
            if under_way == 0:
                self.on.wait()
            while under_way < 16 and self.on.is_set():
                self.session.ask(self.batch)
                under_way += 1
            self.session.reply()
            under_way -= 1
            self.batches += 1


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("model", type=pathlib.Path)
    flags.add_argument("--tokens", type=int, default=16, help="of each of the flood's sentences")
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--requests", type=int, default=300)
    flags = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [os.environ["BERTIE"], "accelerator", "--listen", "127.0.0.1:0", "--status-listen", "off",
             "--store", f"{folder}/store", "--threads", str(flags.threads)], stderr=subprocess.PIPE, text=True)
        try:
            address = next(found[1] for found in (re.search(r"--accelerator (\S+)", line) for line in server.stderr)
                           if found)
            threading.Thread(target=server.stderr.read, daemon=True).start()
            proto = load_protocol(folder)
            client = endpoint.Client(proto, address)
            manifest = endpoint.manifest_of(client.pb2, flags.model)
            client.upload(manifest, flags.model)
            light = client.attach(manifest, endpoint="light")
            words = lambda count: [101, *range(2000, 1998 + count), 102]
            measure(light, words(16), 100)
            flood = Flood(endpoint.Client(proto, address).attach(manifest, endpoint="flood"), words(flags.tokens),
                          max(1, 128 // flags.tokens))
            flood.start()
            for _ in range(3):
                print("alone: ", measure(light, words(16), flags.requests))
                flood.on.set()
                time.sleep(0.2)
                batches, begin = flood.batches, time.monotonic()
                print("beside:", measure(light, words(16), flags.requests), end="; ")
                rate = (flood.batches - batches) / (time.monotonic() - begin)
                print(f"the flood gets {rate * len(flood.batch) * flags.tokens:.0f} tokens/s")
                flood.on.clear()
                time.sleep(0.3)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
