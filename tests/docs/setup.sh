# What readers of a page have before they begin: functions for the pages' `setup` markers. Sourced.

# sentences FILE [N]: N (default 120) labelled sentences as csv, tsv or JSON lines by the file's name.
sentences() {
  python3 - "$1" "${2:-120}" <<'PYTHON'
import json, sys
name, count = sys.argv[1], int(sys.argv[2])
words = {"positive": ["fine", "lovely", "bright", "kind", "warm"], "negative": ["grim", "awful", "dark", "cruel", "cold"]}
things = ["day", "story", "song", "friend", "film", "book"]
ends = ["I thought.", "my sister said.", "and that is all.", "they wrote.", "we found."]
rows = []
while len(rows) < count:
    at = len(rows)
    label = ("positive", "negative")[at % 2]
    pick = at // 2
    rows.append((f"A {words[label][pick % 5]} {things[pick // 5 % 6]}, {ends[pick // 30 % 5]} ({at})", label))
with open(name, "w") as file:
    if name.endswith(".jsonl"):
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
