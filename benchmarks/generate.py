"""How fast is greedy decoding of 128 tokens after prompts of 64, at batch 1 and 8?"""

from benchmarks.harness import SMALL, SMOKE, machine, matrix_weights, measure, options, report

OURS = [
    ("vanilla", "primer", {}),
    ("Primer-EZ", "primer", {"architecture": "primer_ez"}),
    ("vanilla, int8", "primer", {"quantize": "int8"}),
    ("vanilla, bfloat16", "primer", {"dtype": "bfloat16"}),
]
PEERS = [
    ("KerasHub GPT2", "keras_hub_gpt2", {}),
    ("HF GPT-2", "hugging_face", {}),
    ("CTranslate2 GPT-2", "ctranslate2_gpt2", {}),
    ("CTranslate2 GPT-2, int8", "ctranslate2_gpt2", {"quantize": "int8"}),
]

arguments = options(__doc__)
facts = machine(arguments.smoke)
prompt, new = (4, 4) if arguments.smoke else (64, 128)
tables = {}
for batch_size in (1,) if arguments.smoke else (1, 8):
    tables[f"batch {batch_size}"] = measure(
        "generate",
        OURS[:1] if arguments.smoke else OURS + PEERS,
        {
            "model": SMOKE if arguments.smoke else SMALL,
            "batch_size": batch_size,
            "prompt": prompt,
            "new": new,
        },
        arguments.rounds,
        batch_size * new,
    )
report("generate", facts, tables, arguments.output)
limit = 1e9 * facts["read_gb_per_second"] / (4 * matrix_weights(SMALL))
print(f"\nReading every weight once a token allows {limit:.0f} steps a second.")
