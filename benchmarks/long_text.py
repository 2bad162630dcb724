"""How fast are long texts: training at 8,192 tokens, and decoding after prompts of 2,048?

The last table shows that a step's time depends on what is in the cache, and not on its length.
"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report, training_flop

PEERS = [
    ("HF GPT-2", "hugging_face", {}),
    ("CTranslate2 GPT-2", "ctranslate2_gpt2", {}),
]

arguments = options(__doc__)
facts = machine(arguments.smoke)
peak = 1e9 * facts["matmul_gflops"]
model = SMOKE if arguments.smoke else SMALL
length, prompt, new = (64, 24, 8) if arguments.smoke else (8192, 2048, 512)
peers = [] if arguments.smoke else PEERS
longest = {"max_sequence_length": length}
ez = {"architecture": "primer_ez", **longest}
tables = {
    f"training, 1 x {length}": measure(
        "train_step",
        [
            ("vanilla", "primer", {}),
            ("vanilla, gradient checkpointing", "primer", {"gradient_checkpointing": True}),
            *peers[:1],
        ][: 1 if arguments.smoke else None],
        {"model": model, "batch_size": 1, "length": length},
        arguments.rounds,
        length,
        training_flop(model, 1, length),
        peak,
    ),
    f"prompt of {prompt}, {new} new tokens": measure(
        "generate",
        [("vanilla", "primer", longest), ("Primer-EZ", "primer", ez)][
            : 1 if arguments.smoke else None
        ]
        + peers,
        {"model": model, "batch_size": 1, "prompt": prompt, "new": new},
        arguments.rounds,
        new,
    ),
    f"{new // 4} new tokens in caches of several lengths": measure(
        "generate_in_cache",
        [(f"cache of {size}", "primer", {"size": size}) for size in (prompt, 4 * prompt)],
        {"model": model, "prompt": 16, "new": new // 4},
        arguments.rounds,
        new // 4,
    ),
}
report("long_text", facts, tables, arguments.output)
