"""How fast are texts scored?"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report

PEERS = [("KerasHub GPT2", "keras_hub_gpt2", {}), ("HF GPT-2", "hugging_face", {})]

arguments = options(__doc__)
facts = machine(arguments.smoke)
model, batch_size, length = (SMOKE, 1, 32) if arguments.smoke else (SMALL, 8, 512)
rows = measure(
    "score",
    [("vanilla", "primer", {})] + ([] if arguments.smoke else PEERS),
    {"model": model, "batch_size": batch_size, "length": length},
    arguments.rounds,
    batch_size * length,
)
report("score", facts, {"35M, 8 x 512": rows}, arguments.output)
