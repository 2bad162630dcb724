"""What do Primer-EZ's two changes cost in KerasHub's models, in training and in decoding?"""

from benchmarks.harness import SMOKE, TINY, machine, measure, options, report

FAMILIES = ("GPT2", "OPT", "Llama", "Gemma", "Mistral")

arguments = options(__doc__)
facts = machine(arguments.smoke)
model = SMOKE if arguments.smoke else {**TINY, "hidden_dim": 256, "intermediate_dim": 1024}
batch_size, length = (2, 32) if arguments.smoke else (16, 128)
prompt, new = (4, 4) if arguments.smoke else (32, 64)
tables = {}
for family in FAMILIES[: 1 if arguments.smoke else None]:
    candidates = [
        (family, "drop_in", {"family": family}),
        (f"{family} as Primer-EZ", "drop_in", {"family": family, "primer": True}),
    ]
    settings = {"model": model, "batch_size": batch_size, "length": length}
    tables[f"{family}: training, {batch_size} x {length}"] = measure(
        "train_step", candidates, settings, arguments.rounds, batch_size * length
    )
    if arguments.smoke:  # it would compile two more models
        continue
    settings = {"model": model, "batch_size": 1, "prompt": prompt, "new": new}
    tables[f"{family}: decoding, batch 1"] = measure(
        "generate", candidates, settings, arguments.rounds, new
    )
report("drop_in", facts, tables, arguments.output)
