"""How does the cost of a training step grow with the sequence length and the vocabulary?"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report, training_flop

TOKENS = 4096

arguments = options(__doc__)
facts = machine(arguments.smoke)
model = SMOKE if arguments.smoke else SMALL
lengths = [32] if arguments.smoke else [128, 512, 1024, 2048, 4096]
vocabularies = [] if arguments.smoke else [2048, 8192, 32128, 131072]
tables = {}
for title, values in (("length", lengths), ("vocabulary", vocabularies)):
    for value in values:
        length = value if title == "length" else 512
        sized = model if title == "length" else {**model, "vocabulary_size": value}
        batch_size = 1 if arguments.smoke else TOKENS // length
        tables.setdefault(title, []).extend(
            measure(
                "train_step",
                [(f"{title} {value}, {batch_size} x {length}", "primer", {})],
                {"model": sized, "batch_size": batch_size, "length": length},
                min(arguments.rounds, 3),
                batch_size * length,
                training_flop(sized, batch_size, length),
                1e9 * facts["matmul_gflops"],
            )
        )
report("length_and_vocabulary", facts, tables, arguments.output)
