"""How fast does an export decode 128 tokens after prompts of 64, beside Keras' `generate`?"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report

arguments = options(__doc__)
facts = machine(arguments.smoke)
prompt, new = (4, 4) if arguments.smoke else (64, 128)
tables = {}
for quantize in (None,) if arguments.smoke else (None, "int8"):
    for batch_size in (1,) if arguments.smoke else (1, 8):
        candidates = [
            ("Keras generate", "primer", {"architecture": "primer_ez"}),
            ("export with XLA", "export", {"jit_compile": True}),
            ("export", "export", {}),
        ]
        tables[f"{quantize or 'float32'}, batch {batch_size}"] = measure(
            "generate",
            candidates[: 2 if arguments.smoke else None],
            {
                "model": SMOKE if arguments.smoke else SMALL,
                "batch_size": batch_size,
                "prompt": prompt,
                "new": new,
                "quantize": quantize,
            },
            arguments.rounds,
            batch_size * new,
        )
report("export", facts, tables, arguments.output)
