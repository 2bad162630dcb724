"""The distribution of each mutation."""

import math
from collections import Counter
from random import Random

import pytest

from primer_tf.programs import PRIMITIVES, InvalidProgram, transformer
from primer_tf.programs.library import DIMENSIONS
from primer_tf.search import mutations
from primer_tf.search.mutations import MUTATIONS, fields_read, mutate

START = transformer(num_heads=4)
ALL = tuple(PRIMITIVES)
SIZE = sum(len(s.instructions) for s in START.subprograms)
DRAWS = 3000


def draw(name, count=DRAWS, program=START, operations=ALL):
    random, found = Random(0), []
    while len(found) < count:
        try:
            found.append(MUTATIONS[name](program, random, operations))
        except InvalidProgram:
            found.append(None)
    return found


def assert_uniform(counts, categories):
    """Checks by Pearson's test, at a level that fails a right program once in 10,000 runs."""
    total, expected = sum(counts.values()), sum(counts.values()) / categories
    assert len(counts) == categories
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = categories - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom) + 8, (total, counts)


def bodies(program):
    return [s.instructions for s in program.subprograms]


def test_kinds_are_equally_likely(monkeypatch):
    calls = Counter()
    for name in MUTATIONS:
        monkeypatch.setitem(MUTATIONS, name, lambda p, r, o, name=name: calls.update([name]))
    random = Random(0)
    for _ in range(DRAWS):
        mutate(START, random)
    assert_uniform(calls, 6)


def test_delete():
    counts = Counter()
    for mutation in draw("delete"):
        sizes = [len(body) for body in bodies(mutation.program)]
        (index,) = [i for i, s in enumerate(START.subprograms) if len(s.instructions) != sizes[i]]
        assert sizes[index] == len(START.subprograms[index].instructions) - 1
        counts[mutation.description] += 1
    # Each instruction of a subprogram that has another one.
    assert_uniform(counts, SIZE - sum(len(b) == 1 for b in bodies(START)))


def test_delete_redirects_readers():
    z_score = [s.name for s in START.subprograms].index("z_score")
    without = mutations._without(START, z_score, 1)  # difference(a, c)
    assert [(each.operation, each.input_1) for each in without[:2]] == [
        ("reduce_mean", 0),
        ("square", 0),
    ]
    assert (without[-1].operation, without[-1].input_1, without[-1].input_2) == ("divide", 0, 6)


def inserted(mutation):
    for index, (before, after) in enumerate(
        zip(bodies(START), bodies(mutation.program), strict=True)
    ):
        if len(after) > len(before):
            name = START.subprograms[index].name
            position = int(mutation.description.rsplit(" at ", 1)[1].split(" of ")[0])
            return name, position, after[position]
    raise AssertionError(mutation.description)


def test_insert():
    places, operations, newest, single = Counter(), Counter(), 0, 0
    drawn = draw("insert", 4000)
    for mutation in drawn:
        name, position, instruction = inserted(mutation)
        places[name] += 1
        if instruction.operation in PRIMITIVES:
            operations[instruction.operation] += 1
        newest += instruction.input_1 == position + 1
        single += instruction.branches == 1
    assert_uniform(places, len(START.subprograms))
    assert_uniform(operations, len(PRIMITIVES))
    # Half and half uniformly: of five numbers of branches one is 1.
    assert abs(single / len(drawn) - 0.6) < 0.03
    assert 0.5 < newest / len(drawn) < 0.8


def test_operations_can_be_restricted():
    for mutation in draw("insert", 200, operations=("square",)):
        operation = inserted(mutation)[2].operation
        assert operation == "square" or operation not in PRIMITIVES


def test_what_is_inserted_is_read():
    read = 0
    drawn = draw("insert", 500)
    for mutation in drawn:
        name, position, _ = inserted(mutation)
        body = mutation.program.subprogram(name).instructions
        state = position + 2
        after = body[position + 1 :]
        read += position == len(body) - 1 or any(
            getattr(each, field) == state
            for each in after
            for field in ("input_1", "input_2")
            if field in fields_read(each)
        )
    assert read > 0.5 * len(drawn)


def test_delete_and_insert_keeps_the_length():
    valid = [mutation for mutation in draw("delete_and_insert", 500) if mutation is not None]
    assert len(valid) > 200
    for mutation in valid:
        assert [len(b) for b in bodies(mutation.program)] == [len(b) for b in bodies(START)]


def test_mutate_field():
    fields, places = Counter(), Counter()
    for mutation in draw("mutate_field"):
        if mutation is None:
            continue
        changes = [
            (s.name, position, field)
            for s, t in zip(START.subprograms, mutation.program.subprograms, strict=True)
            for position, (a, b) in enumerate(zip(s.instructions, t.instructions, strict=True))
            for field in vars(a)
            if getattr(a, field) != getattr(b, field)
        ]
        if not changes:
            assert mutation.description.startswith("leave ")
            continue
        ((name, position, field),) = changes
        fields[field] += 1
        places[name, position] += 1
    assert set(fields) == {"operation", "input_1", "input_2", "constant", "dimension", "branches"}
    assert_uniform(places, SIZE)
    assert abs(fields["operation"] - fields["branches"]) < 150


def test_swap():
    def operations(program):
        return [Counter(each.operation for each in body) for body in bodies(program)]

    def inputs(program):
        return [[(each.input_1, each.input_2) for each in body] for body in bodies(program)]

    pairs = Counter()
    for mutation in draw("swap", 2000):
        assert operations(mutation.program) == operations(START)
        assert inputs(mutation.program) == inputs(START)
        pairs[mutation.description.rpartition(" of ")[2]] += 1
    assert_uniform(pairs, sum(len(body) > 1 for body in bodies(START)))


def test_mutate_bank_value():
    constants, dimensions, exponents = Counter(), Counter(), []
    for mutation in draw("mutate_bank_value", 4000):
        assert bodies(mutation.program) == bodies(START)
        for place, (a, b) in enumerate(
            zip(START.constants, mutation.program.constants, strict=True)
        ):
            if a != b:
                constants[place] += 1
                if a == 0:
                    exponents.append(b)  # Nothing but Y.
        for a, b in zip(START.dimensions, mutation.program.dimensions, strict=True):
            if a != b:
                assert b in DIMENSIONS
                dimensions[a] += 1
    assert_uniform(constants, len(START.constants))
    assert_uniform(dimensions, len(START.dimensions))
    assert abs(sum(constants.values()) - 2000) < 130
    mean = sum(exponents) / len(exponents)
    deviation = (sum((y - mean) ** 2 for y in exponents) / len(exponents)) ** 0.5
    assert abs(mean) < 0.2 and abs(deviation - 1) < 0.15


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_same_seed_draws_the_same(name):
    assert draw(name, 5) == draw(name, 5)
