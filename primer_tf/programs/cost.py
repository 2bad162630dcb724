"""What a program costs, from the table of primitives."""

import dataclasses
import math

from primer_tf.programs.graph import INPUT, Graph, Node
from primer_tf.programs.primitives import PRIMITIVES

BYTES = 4  # of a float32
# FLOPs that a processor does in the time in which it moves a byte, to add the two. It is that of a
# desktop CPU (100 GFLOPs, 12 GB/s); accelerators have more.
FLOPS_PER_BYTE = 8


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """The cost of one block in the forward pass.

    Attributes:
        parameters: Number of weights.
        flops: FLOPs for a token; a multiply-add is two, and element-wise work counts.
        product_flops: Of these, those of matrix products and convolutions.
        bytes_moved: Bytes for a token that operations read and write, apart from weights.
        activations: Values for a token that operations write.
    """

    parameters: int
    flops: int
    product_flops: int
    bytes_moved: int
    activations: int

    @property
    def work(self) -> int:
        """FLOPs and bytes in one number, `flops + 8 * bytes_moved`."""
        return self.flops + FLOPS_PER_BYTE * self.bytes_moved


def program_cost(graph: Graph, sequence_length: int) -> ProgramCost:
    """Returns the cost of a program.

    Args:
        graph: The `Graph` of the program.
        sequence_length: Number of tokens in a sequence, `T`. Scores of keys in the future count,
            because they are computed.

    Returns:
        A `ProgramCost`.

    Example:

    >>> from primer_tf.programs import infer_graph, program_cost, transformer
    >>> program_cost(infer_graph(transformer(), 64), sequence_length=64).flops
    119876
    """
    elementwise = products = read = written = 0
    for node in graph.nodes:
        if node.operation == INPUT:
            continue
        inputs = [_values(graph.nodes[index], sequence_length) for index in node.inputs]
        outputs = _values(node, sequence_length)
        read, written = read + sum(inputs), written + outputs
        primitive = PRIMITIVES.get(node.operation)
        if primitive is None:
            continue
        if primitive.products is None:
            elementwise += max(*inputs, outputs)
        else:
            shape = graph.nodes[node.inputs[0]].shape
            products += 2 * outputs * primitive.products(shape, sequence_length)
    return ProgramCost(
        parameters=sum(math.prod(node.weight) for node in graph.nodes if node.weight),
        flops=elementwise + products,
        product_flops=products,
        bytes_moved=BYTES * (read + written),
        activations=written,
    )


def _values(node: Node, sequence_length: int) -> int:
    return node.copies * node.shape.size(sequence_length)
