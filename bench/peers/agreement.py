"""Whether all engines compute the same thing."""

import tempfile

from common import PEERS, CannotRun, cola_sentences, peer_command, post, run_lines, running

FP32_TOLERANCE = 1e-4
CHECK_SENTENCES = [
    "It rained.",
    "Who does John visit Sally because he likes?",
    "The more you would want, the less you would eat.",
    "A café in Zürich charged $4.50 for naïve coffee in 2019!",
    "I don't think that anybody who hasn't read the book's first chapter could answer it.",
    "If the weather holds until Friday, the whole of the wheat in the lower field will be brought "
    "in, threshed, and stored before the feast, which is what the old man had always wanted.",
]


def bertie_logits(bertie, model, precision, sentences):
    with running(bertie.serve_command(model, precision)) as url:
        return post(url, sentences)


def compare_logits(rows, truth):
    """Largest and mean difference of a logit, and the share of rows with the same largest one."""
    differences = [abs(a - b) for row, expected in zip(rows, truth, strict=True)
                   for a, b in zip(row, expected, strict=True)]
    same = sum(row.index(max(row)) == expected.index(max(expected))
               for row, expected in zip(rows, truth, strict=True))
    return max(differences), sum(differences) / len(differences), same / len(truth)


def check_agreement(options, report):
    """A table for each precision; fp32 beyond its tolerance ends the program."""
    sentences = list(CHECK_SENTENCES)
    if options.cola and not options.quick:
        sentences += cola_sentences(options.cola)[: 100 - len(sentences)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(sentences) + "\n")
        file.flush()
        for model in options.models:
            path = options.model_folder / model
            truth = run_lines(peer_command("pytorch", "fp32", path, 2, "logits", file.name))[0]
            for precision in options.precisions:
                rows, notes = check_precision(options, path, precision, sentences, file.name, truth)
                report.table(
                    f"{model}, {precision}: logits beside PyTorch's in fp32, {len(sentences)} "
                    "sentences", ["largest", "mean", "argmax"], rows, notes)


def check_precision(options, path, precision, sentences, file, truth):
    def peer(engine, kind):
        return run_lines(peer_command(engine, kind, path, 2, "logits", file))[0]

    engines = [("bertie", lambda: bertie_logits(options.bertie, path, precision, sentences))]
    engines += [(engine_name(engine, kind), lambda e=engine, k=kind: peer(e, k))
                for engine, kind in PEERS[precision] if (engine, kind) != ("pytorch", "fp32")]
    rows, notes = [], []
    for name, logits in engines:
        try:
            largest, mean, same = compare_logits(logits(), truth)
        except CannotRun as reason:
            notes.append(f"{name}: {reason}")
            continue
        rows.append((name, [f"{largest:.1e}", f"{mean:.1e}", f"{same:.1%}"]))
        if precision == "fp32" and largest > FP32_TOLERANCE:
            raise SystemExit(f"{name}'s logits are {largest:.1e} away from PyTorch's; allowed are "
                             f"{FP32_TOLERANCE}. It does not compute the same: not comparing")
    return rows or [("(none)", ["-", "-", "-"])], notes


def engine_name(engine, kind):
    return f"{engine} static" if kind == "int8-static" else engine
