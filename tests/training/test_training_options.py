"""Optimizers, schedules, accumulated gradients and averages in whole runs."""

import signal

import h5py
import numpy as np
import pytest

from primer_tf.cli import main
from tests.training.test_resume import assert_same, primer, resume, signal_after, state

STEPS, INTERVAL = 4, 3

# Every optimizer and schedule, and every option that has state of its own.
RUNS = {
    "adamw": [
        *("--optimizer", "adamw", "--schedule", "cosine", "--warmup_steps", "2"),
        *("--gradient_accumulation_steps", "2", "--ema_momentum", "0.5"),
        *("--global_clipnorm", "0.5", "--dtype", "mixed_bfloat16"),
    ],
    "muon": ["--optimizer", "muon", "--schedule", "wsd", "--warmup_steps", "1"],
    "adafactor": [
        *("--linear_decay_fraction", "0.5", "--gradient_accumulation_steps", "2"),
        *("--dtype", "mixed_float16", "--ema_momentum", "0.9"),
    ],
    "linear": ["--schedule", "linear", "--warmup_steps", "1", "--weight_decay", "0.1"],
}


@pytest.fixture(scope="module")
def arguments(small_preset, text_file):
    return [
        *("train", "--preset", str(small_preset), "--data", str(text_file), "--dropout", "0.1"),
        *("--batch_size", "2", "--sequence_length", "8"),
        *("--steps", str(STEPS), "--interval", str(INTERVAL)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_is_the_same(arguments, tmp_path, name):
    """Interrupted inside an epoch, to the last bit."""
    whole, output = tmp_path / "whole", tmp_path / "run"
    primer(*arguments, *RUNS[name], "--output", whole)
    with signal_after(2, signal.SIGTERM):
        assert main([*arguments, *RUNS[name], "--output", str(output)]) == 143
    resume(output)
    assert_same(state(output), state(whole))


def weights(arrays):
    """The weights in a checkpoint, by their numbers."""
    found = {key: value for key, value in arrays.items() if key.startswith("model/")}
    return [found[key] for key in sorted(found) if "seed" not in key]


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_a_large_batch(arguments, tmp_path):
    """The sequences of two batches are those of one that is twice as large."""
    options = ["--dropout", "0", "--learning_rate_scale", "0.1"]
    primer(*arguments, *options, "--batch_size", "4", "--output", tmp_path / "large")
    accumulated = [*options, "--gradient_accumulation_steps", "2"]
    primer(*arguments, *accumulated, "--output", tmp_path / "accumulated")
    large, small = (state(tmp_path / name) for name in ("large", "accumulated"))
    for one, other in zip(weights(large), weights(small), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    figures = [run["history"][1:].astype(float) for run in (large, small)]
    np.testing.assert_allclose(*figures, rtol=1e-5)


@pytest.mark.slow
def test_presets_hold_averages(arguments, tmp_path):
    """Of the weights of all steps, while training goes on with the weights themselves."""
    more = ["--ema_momentum", "0.5", "--learning_rate_scale", "10"]
    runs = {}
    for name, options in (("raw", more[2:]), ("averaged", more)):
        output = tmp_path / name
        primer(*arguments, *options, "--steps", "3", "--interval", "1", "--output", output)
        runs[name] = [weights(state(output, step)) for step in (1, 2, 3)]
        last = state(output, 3)
    for one, other in zip(*runs.values(), strict=True):
        for raw, with_averages in zip(one, other, strict=True):
            np.testing.assert_array_equal(raw, with_averages)
    first, second, third = runs["raw"]
    preset = []
    with h5py.File(tmp_path / "averaged/preset/model.weights.h5") as file:
        file.visititems(lambda _, x: preset.append(x[()]) if hasattr(x, "shape") else None)
    expected = [a / 4 + b / 4 + c / 2 for a, b, c in zip(first, second, third, strict=True)]

    def totals(arrays):
        return sorted(float(np.sum(array, dtype="float64")) for array in arrays)

    assert totals(preset) == pytest.approx(totals(expected), rel=1e-4, abs=1e-4)
    losses = last["history"][1:, 2].astype(float)
    others = state(tmp_path / "raw", 3)["history"][1:, 2].astype(float)
    assert losses[0] == others[0] and losses[2] != others[2]
