"""An engine whose losses are known without training."""

from collections import deque

from primer_tf.programs import Program, infer_graph, transformer
from primer_tf.search.individual import Outcome


def edits_found(program):
    """Returns which of Primer's two edits the output of a program depends on."""
    nodes = infer_graph(Program.from_json(program), 64).nodes
    operations = [node.operation for node in nodes]
    squared = any(
        node.operation == "square" and nodes[node.inputs[0]].operation == "max" for node in nodes
    )
    return squared, operations.count("depthwise_conv_3x1") >= 3


START_SIZE = len(infer_graph(transformer(8), 64).nodes)


def planted(task):
    """An outcome that is better for each of the two edits, and worse the more else has changed.

    A price of each operation would make the search delete the Transformer instead.
    """
    size = len(infer_graph(Program.from_json(task.program), 64).nodes)
    loss = 5 - sum(edits_found(task.program)) + 1e-3 * abs(size - START_SIZE)
    return Outcome("trained", loss, (loss,), steps=10, spent=1.0)


class FakeEngine:
    """Ends individuals in the order of their submission."""

    def __init__(self, train=planted, num_workers=1):
        self.train, self.num_workers = train, num_workers
        self.tasks, self.trained = deque(), []

    @property
    def num_pending(self):
        return len(self.tasks)

    def submit(self, task):
        self.tasks.append(task)

    def next(self):
        task = self.tasks.popleft()
        self.trained.append(task)
        return task, self.train(task)

    def close(self):
        pass
