"""Programs in NumPy and float64, one sequence and one branch at a time.

It shares nothing with the Keras layer but the names of the primitives: it is what programs are
tested against, and what tells whether two compute the same.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from primer_tf.programs.graph import live_instructions
from primer_tf.programs.program import NUM_INPUTS, Instruction, Program

Array = np.ndarray


def interpret(
    program: Program,
    x: Array,
    weights: Mapping[str, Array],
    position_bias: Array | None = None,
) -> Array:
    """Runs a program on one sequence.

    Args:
        program: A `Program` that `infer_graph` accepts.
        x: `[T, C]`.
        weights: The weight of each node by its path, `[N, ...]`.
        position_bias: `[H, T, T]`, or `None`. Defaults to `None`.

    Returns:
        `[T, C]`, float64.
    """
    x = np.asarray(x, np.float64)
    run = _Run(program, weights, position_bias)
    with np.errstate(all="ignore"):
        return run.subprogram(program.subprograms[0].name, [x] * NUM_INPUTS, _Branch("", 0, 0, 1))


class _Scores:
    """Scores of which an entry is read only if its key is not in the future of its query."""

    def __init__(self, values: Array) -> None:
        self.values = values


@dataclasses.dataclass(frozen=True)
class _Branch:
    """Where in the calls and branches something runs: branch `own` of the `count` of its call."""

    path: str
    number: int
    own: int
    count: int

    def at(self, position: int) -> "_Branch":
        path = f"{self.path}.{position}" if self.path else str(position)
        return dataclasses.replace(self, path=path)


class _Run:
    def __init__(self, program, weights, position_bias):
        self.program, self.weights, self.position_bias = program, weights, position_bias
        self.live = live_instructions(program)

    def subprogram(self, name, inputs, branch):
        states = dict(enumerate(inputs))
        for position, instruction in enumerate(self.program.subprogram(name).instructions):
            if position in self.live[name].positions:
                given = [states.get(i) for i in (instruction.input_1, instruction.input_2)]
                result = self.instruction(instruction, given, branch.at(position))
                states[NUM_INPUTS + position] = result
        return result

    def instruction(self, instruction, inputs, branch):
        n = instruction.branches
        if n == 1:
            return self.once(instruction, inputs, branch)
        results = [
            self.once(instruction, inputs, _Branch(branch.path, branch.number * n + i, i, n))
            for i in range(n)
        ]
        return np.concatenate(results, axis=-1)

    def once(self, instruction, inputs, branch):
        function = _FUNCTIONS.get(instruction.operation)
        if function is None:
            return self.subprogram(instruction.operation, inputs, branch)
        return function(_Step(self, instruction, inputs, branch))


class _Step:
    """One instruction in one branch."""

    def __init__(self, run: _Run, instruction: Instruction, inputs: Any, branch: _Branch) -> None:
        self.x, self.y = inputs
        self.run, self.branch = run, branch
        self.constant = run.program.constants[instruction.constant]

    @property
    def weight(self) -> Array:
        return np.asarray(self.run.weights[self.branch.path][self.branch.number], np.float64)


def _elementwise(function):
    def apply(step):
        x = step.x
        if isinstance(x, _Scores):
            return _Scores(function(x.values, step.constant))
        return function(x, step.constant)

    return apply


def _pairwise(function):
    def apply(step):
        values = [v.values if isinstance(v, _Scores) else v for v in (step.x, step.y)]
        scores = any(isinstance(v, _Scores) for v in (step.x, step.y))
        result = function(*values)
        return _Scores(result) if scores else result

    return apply


def _reduce(function):
    def apply(step):
        x = step.x
        if isinstance(x, _Scores):
            return np.array([[function(row[: t + 1])] for t, row in enumerate(x.values)])
        return np.array([[function(row)] for row in x])

    return apply


def _convolve(width, depthwise):
    def apply(step):
        x, kernel = step.x, step.weight
        y = []
        for t in range(len(x)):
            taps = [(x[t - i], kernel[i]) for i in range(min(width, t + 1))]
            y.append(sum(v * k if depthwise else v @ k for v, k in taps))
        return np.array(y)

    return apply


def _matmul(step):
    weights, values = step.x.values, step.y
    return np.array([row[: t + 1] @ values[: t + 1] for t, row in enumerate(weights)])


def _position_bias(step):
    bias = step.run.position_bias
    return _Scores(step.x.values + (0 if bias is None else bias[step.branch.number]))


_FUNCTIONS = {
    "add": _pairwise(np.add),
    "difference": _pairwise(np.subtract),
    "divide": _pairwise(np.divide),
    "multiply": _pairwise(np.multiply),
    "abs": _elementwise(lambda x, c: np.abs(x)),
    "abs_square_root": _elementwise(lambda x, c: np.abs(x) ** 0.5),
    "square": _elementwise(lambda x, c: x**2),
    "exp": _elementwise(lambda x, c: np.exp(x)),
    "log": _elementwise(lambda x, c: np.log(np.abs(x))),
    "reciprocal": _elementwise(lambda x, c: x**-1),
    "sign": _elementwise(lambda x, c: np.sign(x)),
    "cos": _elementwise(lambda x, c: np.cos(x)),
    "sin": _elementwise(lambda x, c: np.sin(x)),
    "tanh": _elementwise(lambda x, c: np.tanh(x)),
    "sigmoid": _elementwise(lambda x, c: 1 / (1 + np.exp(-x))),
    "max": _elementwise(np.maximum),
    "min": _elementwise(np.minimum),
    "constant_multiply": _elementwise(np.multiply),
    "constant_add": _elementwise(np.add),
    "scale": lambda step: step.x * step.weight,
    "shift": lambda step: step.x + step.weight,
    "reduce_mean": _reduce(np.mean),
    "reduce_sum": _reduce(np.sum),
    "reduce_max": _reduce(np.max),
    "reduce_min": _reduce(np.min),
    "reduce_product": _reduce(np.prod),
    **{f"conv_{width}x1": _convolve(width, False) for width in (1, 3, 7, 15, 31)},
    **{f"depthwise_conv_{width}x1": _convolve(width, True) for width in (3, 7, 15, 31)},
    "cumulative_sum": lambda step: np.cumsum(step.x, axis=0),
    "cumulative_product": lambda step: np.cumprod(step.x, axis=0),
    "transposed_matmul": lambda step: _Scores(step.x @ step.y.T),
    "causal_mask": lambda step: step.x,
    "position_bias": _position_bias,
    "matmul": _matmul,
    "split": lambda step: np.split(step.x, step.branch.count, axis=-1)[step.branch.own],
}
