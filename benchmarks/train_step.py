"""What does a training step cost, for our models and for peers of the same size?"""

from benchmarks.harness import SMALL, SMOKE, TINY, machine, measure, options, report, training_flop

EZ, FULL = {"architecture": "primer_ez"}, {"architecture": "primer"}
BFLOAT16 = {"dtype": "mixed_bfloat16"}
REMAT = {"gradient_checkpointing": True}
OURS = [
    ("vanilla", "primer", {}),
    ("Primer-EZ", "primer", EZ),
    ("Primer", "primer", FULL),
    ("vanilla, gradient checkpointing", "primer", REMAT),
    ("vanilla, mixed_bfloat16", "primer", BFLOAT16),
    ("Primer-EZ, mixed_bfloat16", "primer", {**EZ, **BFLOAT16}),
]
PEERS = [
    ("KerasHub GPT2, XLA", "keras_hub_gpt2", {}),
    ("KerasHub GPT2, Keras' default", "keras_hub_gpt2", {"jit_compile": "auto"}),
    ("HF GPT-2", "hugging_face", {}),
    ("HF GPT-2, torch.compile", "hugging_face", {"compiled": True}),
    (
        "HF GPT-2, torch.compile, bfloat16 autocast",
        "hugging_face",
        {"compiled": True, "bfloat16": True},
    ),
    ("x-transformers", "x_transformers", {}),
]
JAX = [("vanilla, JAX backend", "primer", {"backend": "jax"})]

arguments = options(__doc__)
facts = machine(arguments.smoke)
peak = 1e9 * facts["matmul_gflops"]
tables = {}
sizes = {"35M, 8 x 512": (SMALL, 8, 512), "tiny, 16 x 128": (TINY, 16, 128)}
if arguments.smoke:
    sizes = {"smoke, 2 x 32": (SMOKE, 2, 32)}
for title, (model, batch_size, length) in sizes.items():
    settings = {"model": model, "batch_size": batch_size, "length": length}
    tables[title] = measure(
        "train_step",
        OURS[:1] if arguments.smoke else OURS + JAX + PEERS,
        settings,
        arguments.rounds,
        batch_size * length,
        training_flop(model, batch_size, length),
        peak,
    )
    pipeline = measure(
        "input_pipeline", [("making the batch", "primer", {})], settings, arguments.rounds
    )
    tables[title + ": input"] = pipeline
report("train_step", facts, tables, arguments.output)
