"""How much faster is greedy decoding with drafts, on text that repeats itself and on other text?"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report

CANDIDATES = [
    ("no draft", "counting", {}),
    ("draft from n-grams", "counting", {"draft": "ngram"}),
    ("draft from a smaller model", "counting", {"draft": "small"}),
    ("draft that is always wrong", "counting", {"draft": "wrong"}),
]

# In an export there are drafts from n-grams only.
EXPORTS = {
    "export": [
        ("no draft", "counting", {"exported": True}),
        ("draft from n-grams", "counting", {"exported": True, "draft": "ngram"}),
    ],
    "export with XLA": [
        ("no draft", "counting", {"exported": True, "jit_compile": True}),
        (
            "draft from n-grams",
            "counting",
            {"exported": True, "jit_compile": True, "draft": "ngram"},
        ),
    ],
}

arguments = options(__doc__)
facts = machine(arguments.smoke)
prompt, new = (12, 8) if arguments.smoke else (64, 128)
tables = {}
for batch_size in (1,) if arguments.smoke else (1, 8):
    # A cycle as long as the text does not come again.
    for title, cycle in {"repeats itself": 5, "does not repeat itself": prompt + new + 60}.items():
        if arguments.smoke and cycle > 5:
            continue
        for engine, candidates in {"Keras": CANDIDATES, **EXPORTS}.items():
            tables[f"{engine}, batch {batch_size}, text that {title}"] = measure(
                "generate",
                candidates[:2] if arguments.smoke else candidates,
                {
                    "model": SMOKE if arguments.smoke else SMALL,
                    "batch_size": batch_size,
                    "prompt": prompt,
                    "new": new,
                    "cycle": cycle,
                },
                arguments.rounds,
                batch_size * new,
            )
report("speculative", facts, tables, arguments.output)
