"""How fast does `primer prepare` tokenize, compared with SentencePiece alone?"""

import os

from benchmarks.harness import machine, measure, options, report


def main():
    """Prints the times, and the speed relative to SentencePiece alone on as many cores."""
    arguments = options(__doc__)
    cores = len(os.sched_getaffinity(0))
    # Long enough that starting the workers does not count.
    settings = {"megabytes": 0.5 if arguments.smoke else 150}
    if arguments.smoke:
        settings["vocabulary_size"] = 400
    counts = [1] if arguments.smoke else sorted({1, cores})
    tables = {}
    for count in counts:
        candidates = [
            (f"SentencePiece alone, threads: {count}", "prepare", {"threads": count}),
            (f"primer prepare --workers {count}", "prepare", {"workers": count}),
        ]
        rows = measure("prepare", candidates, settings, arguments.rounds)
        tables[f"tokenizing on {count} of {cores} cores"] = rows
    report("prepare", machine(arguments.smoke), tables, arguments.output)
    for rows in tables.values():
        for row in rows:
            speed = settings["megabytes"] / row["seconds"]
            print(f"{row['candidate']}: {speed:.2f} MB/s, {row['ratio']:.2f} of SentencePiece")


if __name__ == "__main__":
    main()
