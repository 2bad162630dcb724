"""Random programs: chains of mutations of the Transformer."""

from random import Random

from primer_tf.programs import InvalidProgram, infer_graph, transformer
from primer_tf.search.mutations import mutate

HIDDEN_DIM = 16
RESTART = 25


def random_programs(count, seed, reasons=None):
    """Yields `(parent, program)` for valid mutations in chains that start again now and then."""
    random = Random(seed)
    start = program = transformer(num_heads=2, expansion=2)
    accepted = 0
    while accepted < count:
        if accepted % RESTART == 0:
            program = start
        try:
            child = mutate(program, random).program
            infer_graph(child, HIDDEN_DIM)
        except InvalidProgram as error:
            if reasons is not None:
                reasons.append(str(error))
            continue
        yield program, child
        program = child
        accepted += 1
