# shellcheck shell=bash
# What readers of a page have before they begin: functions for the pages' `setup` markers. Sourced.

# sentences FILE [N]: N (default 120) sentences, negative or positive; csv, tsv, JSON lines or fastText's by the
# file's name.
sentences() { made_sentences "$1" "${2:-120}" reviews; }

# mails FILE [N]: the same with ham and spam.
mails() { made_sentences "$1" "${2:-120}" mails; }

made_sentences() {
  python3 - "$@" <<'PYTHON'
import json, sys
name, count = sys.argv[1], int(sys.argv[2])
labels, words, things, ends = {
    "reviews": (("positive", "negative"),
                (("fine", "lovely", "bright", "kind", "warm"), ("grim", "awful", "dark", "cruel", "cold")),
                ("day", "story", "song", "friend", "film", "book"),
                ("I thought.", "my sister said.", "and that is all.", "they wrote.", "we found.")),
    "mails": (("ham", "spam"),
              (("draft of the", "question about the", "note on the", "talk on the", "page of the"),
               ("free prize and a", "free cruise and a", "cheap pill and a", "loan and a", "win of a")),
              ("report", "meeting", "patch", "phone", "ticket", "book"),
              ("he wrote.", "see below.", "for you today.", "as promised.", "for all of us.")),
}[sys.argv[3]]
rows = []
while len(rows) < count:
    at = len(rows)
    pick = at // 2
    rows.append((f"A {words[at % 2][pick % 5]} {things[pick // 5 % 6]}, {ends[pick // 30 % 5]} ({at})", labels[at % 2]))
with open(name, "w") as file:
    if name.endswith(".txt"):
        file.writelines(f"__label__{label} {text}\n" for text, label in rows)
    elif name.endswith(".jsonl"):
        file.writelines(json.dumps({"sentence": text, "label": label}) + "\n" for text, label in rows)
    else:
        mark = "\t" if name.endswith(".tsv") else ","
        quote = "" if mark == "\t" else '"'
        file.write(f"sentence{mark}label\n")
        file.writelines(f"{quote}{text}{quote}{mark}{label}\n" for text, label in rows)
PYTHON
}

# pretrained NAME: a real pretrained model under this name in bertie's cache.
pretrained() {
  mkdir -p ~/.cache/bertie/models
  ln -s "$BERTIE_MINILM" ~/.cache/bertie/models/"$1"
}

# classifier FOLDER: a trained model (labels negative, positive).
classifier() { cp -r "$PAGE_CLASSIFIER" "$1"; }

# traced_bert: a TorchScript archive of PyTorch 1.3 as traced_bert.tar.gz, and its vocabulary.
traced_bert() {
  mkdir traced && cp "$SOURCE/tests/golden/torchscript/torch1.3.pt" traced/traced_bert.pt
  tar -czf traced_bert.tar.gz -C traced .
  cp "$SOURCE/tests/golden/tiny/vocab.txt" .
}

# tls_files: an authority, ca.pem, and what it signed for this machine, server.pem and server.key.
tls_files() {
  local key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
  # shellcheck disable=SC2086
  openssl req -x509 -days 2 $key -subj /CN=authority -keyout ca.key -out ca.pem
  # shellcheck disable=SC2086
  openssl req $key -subj /CN=localhost -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1')
}
