"""How much training a fixed amount of work buys."""

import functools

from primer_tf.programs.cost import BYTES, FLOPS_PER_BYTE, program_cost
from primer_tf.programs.graph import Graph, infer_graph
from primer_tf.search.config import SearchConfig

# A program so cheap that it could train longer is still cut off here, in units of `config.steps`.
MOST = 4
# A program for which less remains cannot be trained to any purpose.
LEAST = 1 / 10


def work_of_step(config: SearchConfig, graph: Graph) -> int:
    """Returns the work of the forward pass for a token, in FLOPs and bytes as FLOPs.

    The gradients take twice as much, whatever the program.

    Args:
        config: The configuration of the search.
        graph: The `Graph` of the program.
    """
    head_flops = 2 * config.hidden_dim * config.vocabulary_size
    head_bytes = BYTES * (config.hidden_dim + config.vocabulary_size)
    block = program_cost(graph, config.sequence_length).work
    return config.num_layers * block + head_flops + FLOPS_PER_BYTE * head_bytes


def affordable_steps(config: SearchConfig, graph: Graph) -> int:
    """Returns the number of steps that the work of `config.steps` steps of the start buys.

    Args:
        config: The configuration of the search.
        graph: The `Graph` of the program.
    """
    steps = config.steps * _work_of_start(config) / work_of_step(config, graph)
    return min(round(steps), round(MOST * config.steps))


@functools.cache
def _work_of_start(config: SearchConfig) -> int:
    return work_of_step(config, infer_graph(config.start(), config.hidden_dim))
