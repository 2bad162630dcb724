"""A tiny model to train with callbacks, and a clock."""

import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from primer_tf.training.callbacks.count_steps import CountSteps


@pytest.fixture
def fit():
    """Calls `fit` of a tiny model with callbacks after some steps: two epochs of three steps."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((6, 1), "float32")

    def fit(callbacks, value=1.0, step=0, batches_per_step=1):
        callbacks = [CountSteps(step, batches_per_step), *callbacks]
        return model.fit(x, value * x, batch_size=2, epochs=2, verbose=0, callbacks=callbacks)

    return fit


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets by `clock.now`, in seconds."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock
