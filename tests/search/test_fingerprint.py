"""Equal fingerprints mean equal functions."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from primer_tf.programs import Instruction, InvalidProgram, Program, Subprogram, transformer
from primer_tf.search.fingerprint import fingerprint, random_outputs, relative_difference
from tests.search.chains import random_programs


def of(*instructions, constants=(0.0, 1.0, 2.0)):
    return Program((Subprogram("main", instructions),), constants, (8,))


Do = Instruction
EQUAL = {
    "a multiplication by 1": (
        of(Do("square")),
        of(Do("square"), Do("constant_multiply", 2, constant=1)),
    ),
    "abs of a square": (of(Do("square")), of(Do("square"), Do("abs", 2))),
    "the other order": (of(Do("add", 0, 1)), of(Do("add", 1, 0))),
    "dead code": (of(Do("square")), of(Do("conv_1x1"), Do("square", 0))),
    "twice": (of(Do("add")), of(Do("constant_multiply", 0, constant=2))),
    "before weights": (
        of(Do("abs"), Do("conv_1x1", 2)),
        of(Do("abs"), Do("abs", 2), Do("conv_1x1", 3)),
    ),
}
DIFFERENT = {
    "an activation": (of(Do("max")), of(Do("abs"))),
    "a constant": (of(Do("max", constant=1)), of(Do("max", constant=2))),
    "weights of their own": (
        of(Do("conv_1x1"), Do("add", 2, 2)),
        of(Do("conv_1x1"), Do("conv_1x1"), Do("add", 2, 3)),
    ),
    "a learned scale": (of(Do("square")), of(Do("square"), Do("scale", 2))),
    "a look back": (of(Do("square")), of(Do("square"), Do("cumulative_sum", 2))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name):
    one, other = EQUAL[name]
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(name):
    one, other = DIFFERENT[name]
    assert fingerprint(one) != fingerprint(other)


def test_nan_is_rejected():
    nothing = of(Do("difference", 0, 1), Do("reciprocal", 2))
    with pytest.raises(InvalidProgram, match="NaN or infinity"):
        fingerprint(nothing)


def check_pairs(count, programs, seed):
    """Checks pairs of equal fingerprints by their outputs on inputs and weights of their own.

    Equal functions may overflow for different inputs: `exp(x - c) / exp(y - c)` does where
    `exp(x) / exp(y)` does not.
    """
    groups = defaultdict(list)
    known = {transformer(num_heads=2, expansion=2)}
    for _, program in random_programs(programs, seed):
        if program in known:
            continue
        known.add(program)
        try:
            groups[fingerprint(program)].append(program)
        except InvalidProgram:
            continue
    pairs = 0
    for group in groups.values():
        outputs = [random_outputs(program, seed=17) for program in group]
        for one, other in itertools.islice(itertools.combinations(outputs, 2), 200):
            finite = np.isfinite(one) & np.isfinite(other)
            assert finite.mean() > 0.1
            assert relative_difference(one[finite], other[finite]) < 1e-6
            pairs += 1
            if pairs == count:
                return
    raise AssertionError(f"only {pairs} pairs")


def test_no_false_positives_among_pairs():
    check_pairs(15, programs=100, seed=0)


@pytest.mark.slow
def test_no_false_positives_among_ten_thousand_pairs():
    for seed in range(20):
        check_pairs(500, programs=4000, seed=seed)


def test_relative_difference():
    assert relative_difference(np.array([2.0, np.nan]), np.array([1.0, np.nan])) == pytest.approx(
        0.5
    )
