"""Learning rate schedules against Mesh TensorFlow's and the formulas of the field."""

import math

import keras
import numpy as np
import pytest

from primer_tf.errors import UserError
from primer_tf.optimizers import AccumulatedSchedule, OffsetSchedule, RsqrtSchedule, make_schedule
from primer_tf.optimizers.make_schedule import SCHEDULES
from primer_tf.training import config

STEPS = [0, 1, 5, 19, 20, 21, 60, 79, 80, 90, 99, 100]


def rates(schedule):
    return [float(schedule(step)) for step in STEPS]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_rsqrt_is_that_of_mesh_tensorflow(fraction):
    from mesh_tensorflow.transformer import learning_rate_schedules as mesh

    schedule = make_schedule(
        "rsqrt", 100, warmup_steps=20, linear_decay_fraction=fraction, scale=2.0
    )
    expected = [
        float(
            mesh.learning_rate_schedule_noam(
                step, 100, warmup_steps=20, linear_decay_fraction=fraction, multiplier=2.0
            )
        )
        for step in STEPS
    ]
    assert rates(schedule) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_factors_are_those_of_mesh_tensorflow():
    from mesh_tensorflow.transformer import learning_rate_schedules as mesh

    def factors(decay):
        warmup = (lambda step, total: mesh.linear_warmup(step, total, 20),)
        return [3e-4, *warmup, lambda step, total: mesh.linear_decay(step, total, decay)]

    for name, decay in (("wsd", 0.1), ("linear", 80)):
        schedule = make_schedule(name, 100, learning_rate=3e-4, warmup_steps=20)
        expected = [float(mesh.product_learning_rate(s, 100, factors(decay))) for s in STEPS]
        assert rates(schedule) == pytest.approx(expected, rel=1e-6, abs=1e-12), name


def test_cosine():
    schedule = make_schedule("cosine", 100, learning_rate=3e-4, warmup_steps=20, scale=0.5)
    expected = [
        1.5e-4 * (s / 20 if s < 20 else 0.5 * (1 + math.cos(math.pi * (s - 20) / 80)))
        for s in STEPS
    ]
    assert rates(schedule) == pytest.approx(expected, rel=1e-5, abs=1e-10)


def test_the_peak_of_rsqrt():
    given = make_schedule("rsqrt", 100, learning_rate=3e-4, warmup_steps=20)
    assert rates(given) == pytest.approx([3e-4 * math.sqrt(20 / max(s, 20)) for s in STEPS])


def test_the_default_is_what_it_was():
    schedule = make_schedule("rsqrt", 1000, None, 1000, None, 0.5, 7)
    assert type(schedule) is RsqrtSchedule
    assert schedule.get_config() == RsqrtSchedule(1000, 0.5, 7).get_config()


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_that_goes_on_from_an_optimizer_of_step_500(name):
    """The run's own steps decide, beside T5's square root of all steps."""
    arguments = {"learning_rate": 3e-4, "warmup_steps": 20, "linear_decay_fraction": 0.5}
    own = make_schedule(name, 100, **arguments)
    later = make_schedule(name, 100, **arguments, first_step=500)
    expected = np.array(rates(own))
    if name == "rsqrt":
        expected *= [math.sqrt(max(step, 20) / (step + 500)) for step in STEPS]
    assert [float(later(500 + step)) for step in STEPS] == pytest.approx(expected, rel=1e-5)


def test_no_rate_is_negative():
    """Mesh TensorFlow's is, after the last step."""
    for name in SCHEDULES:
        schedule = make_schedule(name, 100, warmup_steps=20, linear_decay_fraction=0.5)
        assert float(schedule(150)) == 0.0, name


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_saved_schedule(name):
    schedule = make_schedule(name, 100, warmup_steps=20, linear_decay_fraction=0.5)
    schedule = OffsetSchedule(AccumulatedSchedule(schedule, 3), first_step=-2)
    config = keras.optimizers.schedules.serialize(schedule)
    np.testing.assert_array_equal(
        rates(keras.optimizers.schedules.deserialize(config)), rates(schedule)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "square"}, "one of rsqrt, cosine, linear, wsd; received 'square'"),
        ({"name": "cosine", "warmup_steps": 100}, "warmup_steps 100 leaves schedule cosine none"),
        ({"name": "wsd", "warmup_steps": 9, "ramp_up_steps": 1}, "ramps up over warmup_steps"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        make_schedule(total_steps=100, **arguments)


def test_the_command_knows_all_names():
    from primer_tf.optimizers.make_optimizer import OPTIMIZERS

    assert config.SCHEDULES == SCHEDULES and config.OPTIMIZERS == OPTIMIZERS
