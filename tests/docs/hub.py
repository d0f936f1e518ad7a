"""A hub with the models of a page: each is the real MiniLM, or the page's trained model under another name.

usage: hub.py ADDRESS_FILE ID...
"""

import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from hub_server import HubServer, Model  # noqa: E402

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
         "special_tokens_map.json")


def files_of(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def with_labels(config, labels):
    """The bytes of config.json with other names for its labels."""
    value = json.loads(config)
    value |= {"id2label": {str(at): label for at, label in enumerate(labels)},
              "label2id": {label: at for at, label in enumerate(labels)}}
    return json.dumps(value).encode()


def main():
    address, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    pretrained = files_of(pathlib.Path(os.environ["BERTIE_MINILM"]))
    classifier = files_of(pathlib.Path(os.environ["PAGE_CLASSIFIER"]))
    hub = HubServer()
    for name in names:
        name, _, refs = name.partition("@")
        kept = pretrained
        if "spam" in name or "SST-2" in name:
            labels = ("ham", "spam") if "spam" in name else ("NEGATIVE", "POSITIVE")
            kept = classifier | {"config.json": with_labels(classifier["config.json"], labels)}
        hub.models[name] = Model(kept, [ref for ref in refs.split(",") if ref])
    part = address.with_suffix(".part")
    part.write_text(hub.url)
    part.rename(address)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
