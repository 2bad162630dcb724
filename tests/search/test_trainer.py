"""Training with a fixed amount of work, and what counts as a failure."""

import dataclasses
import math
import re

import numpy as np
import pytest

from primer_tf.programs import Instruction, infer_graph, primer_ez, program_cost
from primer_tf.search.config import SearchConfig
from primer_tf.search.individual import Task
from primer_tf.search.tokens import Tokens
from primer_tf.search.trainer import Trainer
from primer_tf.search.work import MOST, affordable_steps, work_of_step

CONFIG = SearchConfig(
    data="none",
    steps=7,
    hidden_dim=16,
    num_layers=1,
    num_heads=2,
    sequence_length=8,
    batch_size=4,
    vocabulary_size=30,
    validation_sequences=4,
    hurdles=2,
)
START = CONFIG.start()
TOKENS = Tokens(np.arange(400) % 20 + 3, np.arange(100) % 20 + 3)


def replaced(name, *instructions):
    index = [s.name for s in START.subprograms].index(name)
    return START.with_subprogram(index, instructions)


@pytest.fixture(scope="module")
def trainer():
    return Trainer(CONFIG, TOKENS)


def test_it_learns_and_is_measured_at_hurdles(trainer):
    outcome = trainer(Task(0, START.to_json(), (None, None)))
    assert outcome.status == "trained" and outcome.steps == 7 and outcome.spent == 1
    assert len(outcome.losses) == 3 and outcome.loss == outcome.losses[-1]
    assert outcome.losses[-1] < outcome.losses[0] < 2 * math.log(30)
    graph = infer_graph(START, 16)
    assert outcome.parameters == graph.num_parameters + 30 * 16
    again = trainer(Task(0, START.to_json(), (None, None)))
    assert again.losses == pytest.approx(outcome.losses, rel=1e-4)


def test_a_hurdle_ends_it(trainer):
    outcome = trainer(Task(0, START.to_json(), (None, 0.1)))
    assert outcome.status == "stopped" and len(outcome.losses) == 2
    assert outcome.steps == 3 and outcome.spent == pytest.approx(3 / 7)


@pytest.mark.parametrize(
    "program, changes, reason",
    [
        (START, {"max_parameters": 100}, "too large: .* weights, more than 100"),
        (
            replaced(
                "relu",
                Instruction("conv_31x1", 0, dimension=9),
                Instruction("conv_31x1", 2, dimension=7),
            ),
            {"max_parameters": 10**9},
            "too slow: its budget buys 0 steps",
        ),
        (replaced("relu", Instruction("difference", 0, 0), Instruction("log", 2)), {}, "NaN"),
        (START, {"max_seconds": 1e-9}, "too slow: 1 steps"),
    ],
)
def test_failures_have_a_reason(program, changes, reason):
    trainer = Trainer(dataclasses.replace(CONFIG, **changes), TOKENS)
    outcome = trainer(Task(0, program.to_json(), ()))
    assert outcome.status == "failed" and outcome.loss is None
    assert re.search(reason, outcome.reason)


def test_text_that_is_no_program_is_a_failure(trainer):
    assert "no program" in trainer(Task(0, "?", ())).reason


def test_the_same_work_buys_fewer_steps_of_a_costlier_program():
    config = dataclasses.replace(CONFIG, steps=1000)
    start, costlier = (infer_graph(p, 16) for p in (START, primer_ez(2, score_scale=0.3)))
    assert affordable_steps(config, start) == 1000
    steps = affordable_steps(config, costlier)
    ratio = work_of_step(config, start) / work_of_step(config, costlier)
    assert steps == round(1000 * ratio) < 1000
    cost = program_cost(start, 8)
    assert work_of_step(config, start) == cost.flops + 8 * cost.bytes_moved + 2 * 16 * 30 + 32 * 46
    nothing = replaced("main", Instruction("add", 0, 0))
    assert affordable_steps(config, infer_graph(nothing, 16)) == MOST * 1000


@pytest.mark.slow
def test_wall_time():
    config = dataclasses.replace(CONFIG, wall_time=0.3)
    outcome = Trainer(config, TOKENS)(Task(0, START.to_json(), ()))
    assert outcome.status == "trained" and outcome.spent >= 1
