"""A resumed run ends where an uninterrupted one ends; damaged checkpoints are passed over."""

import dataclasses

import numpy as np
import pytest
from sample_text import SENTENCES

from primer_tf.errors import UserError
from primer_tf.training.run import RunConfig, load_config, train


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("\n".join(SENTENCES * 40), encoding="utf-8")
    return RunConfig(
        preset="tiny_primer_ez",
        data=str(path),
        vocabulary_size=300,
        steps=4,
        interval=1,
        batch_size=2,
        sequence_length=8,
        dropout=0.1,
    )


pytestmark = pytest.mark.slow  # each run compiles a training step of its own


def weights(model):
    return [np.asarray(variable) for variable in model.variables]


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    model, _, history = train(config, tmp_path_factory.mktemp("whole") / "run")
    return weights(model), [row["loss"] for row in history.rows]


def test_resumed_run_is_bitwise_the_same(config, whole, tmp_path):
    train(dataclasses.replace(config, steps=2), tmp_path / "run")
    longer = dataclasses.replace(load_config(tmp_path / "run"), steps=4)
    model, _, history = train(longer, tmp_path / "run", resume=True)
    for resumed, expected in zip(weights(model), whole[0], strict=True):
        np.testing.assert_array_equal(resumed, expected)
    assert [row["loss"] for row in history.rows] == whole[1]


def test_truncated_checkpoint_falls_back_to_the_one_before(config, whole, tmp_path):
    train(dataclasses.replace(config, steps=3), tmp_path / "run")
    newest = tmp_path / "run/checkpoints/step_00000003/variables.npz"
    newest.write_bytes(newest.read_bytes()[:1000])
    lines = []
    longer = dataclasses.replace(load_config(tmp_path / "run"), steps=4)
    model, _, _ = train(longer, tmp_path / "run", resume=True, report=lines.append)
    assert "step_00000003 is corrupt" in lines[0]
    assert "Resuming at step 2." in lines
    for resumed, expected in zip(weights(model), whole[0], strict=True):
        np.testing.assert_array_equal(resumed, expected)


def test_a_run_is_not_overwritten_or_resumed_as_another(config, tmp_path, vocabulary_file):
    train(dataclasses.replace(config, steps=1), tmp_path / "run")
    with pytest.raises(UserError, match="already holds a run"):
        train(config, tmp_path / "run")
    with pytest.raises(UserError, match="batch_size was 2 and is now 4"):
        train(dataclasses.replace(config, batch_size=4), tmp_path / "run", resume=True)
    other = dataclasses.replace(config, vocabulary=str(vocabulary_file))
    with pytest.raises(UserError, match="is not the vocabulary this run was started with"):
        train(other, tmp_path / "run", resume=True)
