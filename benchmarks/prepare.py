"""How fast does `primer prepare` tokenize, compared with SentencePiece alone?"""

import os

from benchmarks.harness import machine, measure, options, report


def main():
    """Prints the times, and the speed of each core relative to SentencePiece alone."""
    arguments = options(__doc__)
    cores = len(os.sched_getaffinity(0))
    settings = {"megabytes": 0.5 if arguments.smoke else 40}
    if arguments.smoke:
        settings["vocabulary_size"] = 400
    counts = [1] if arguments.smoke else sorted({1, cores})
    names = {count: f"primer prepare --workers {count}" for count in counts}
    candidates = [("SentencePiece alone, one thread", "prepare", {})]
    candidates += [(name, "prepare", {"workers": count}) for count, name in names.items()]
    rows = measure("prepare", candidates, settings, arguments.rounds)
    report("prepare", machine(arguments.smoke), {"tokenizing": rows}, arguments.output)
    for row in rows:
        print(f"{row['candidate']}: {settings['megabytes'] / row['seconds']:.2f} MB/s")
    for count, row in zip(counts, rows[1:], strict=True):
        print(f"{row['candidate']}: {row['ratio'] / count:.2f} of SentencePiece for each core")


if __name__ == "__main__":
    main()
