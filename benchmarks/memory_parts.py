"""What does a training step need memory for, and which part grows with the vocabulary?"""

import multiprocessing
import resource
from pathlib import Path

from benchmarks.harness import SMALL, SMOKE, options, write_json


def resident():
    """Returns the resident memory in GB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def held():
    """Returns the memory of TensorFlow's tensors in GB: now, and at its peak since the last call.

    On CPUs TensorFlow keeps these statistics only if oneDNN allocates the memory.
    """
    import tensorflow as tf

    info = tf.config.experimental.get_memory_info("CPU:0")
    tf.config.experimental.reset_memory_stats("CPU:0")
    return info["current"] / 1e9, info["peak"] / 1e9


def parts(model, batch_size, length, settings):
    """Trains two steps and returns GB by part."""
    from benchmarks.candidates import primer

    imports = resident()
    step = primer.train_step(model, batch_size, length, **settings)
    step()
    weights, _ = held()
    step()
    peak = held()[1]
    return {
        "imports": imports,
        "weights and optimizer": weights,
        "step's tensors at their peak": peak - weights,
        "graph and allocator": resident() - imports - peak,
        "resident": resident(),
    }


def loss(model, tokens):
    """Computes only the gradients of the loss and returns GB by part."""
    import tensorflow as tf

    from primer_tf.losses.linear_cross_entropy import linear_cross_entropy

    table = tf.random.normal((model["vocabulary_size"], model["hidden_dim"]))
    states = tf.random.normal((tokens, model["hidden_dim"]))
    targets = tf.zeros(tokens, "int32")

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch([states, table])
            total = linear_cross_entropy(states, table, targets, tf.ones(tokens), 1e-4)[0]
        return tape.gradient(total, [states, table])

    gradients()
    before, _ = held()
    gradients()
    size = 4e-9 * model["vocabulary_size"] * model["hidden_dim"]
    return {"table": size, "other tensors at the peak": held()[1] - before}


def main():
    """Prints a line for each case, and writes `memory_parts.json`."""
    arguments = options(__doc__)
    model, batch_size, length = (SMOKE, 2, 32) if arguments.smoke else (SMALL, 8, 512)
    sizes = [model["vocabulary_size"]] if arguments.smoke else [2048, 32128, 131072]
    tables = {}
    # Each case has its own process, because memory stays resident.
    tasks = None if arguments.smoke else 1
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=tasks) as pool:
        for size in sizes:
            sized = {**model, "vocabulary_size": size}
            for name, settings in (("", {}), (", checkpointed", {"gradient_checkpointing": True})):
                case = (sized, batch_size, length, settings)
                tables[f"vocabulary {size}{name}"] = pool.apply(parts, case)
            case = (sized, batch_size * length)
            tables[f"vocabulary {size}, loss alone"] = pool.apply(loss, case)
    for title, row in tables.items():
        cells = (f"{name} {value:.2f}" for name, value in row.items())
        print(f"{title:<36} GB:  {',  '.join(cells)}", flush=True)
    write_json("memory_parts", tables, arguments.output)


if __name__ == "__main__":
    main()
