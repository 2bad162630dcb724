"""A backbone whose block is a program trains, saves, loads and generates."""

import numpy as np
import pytest
from keras import ops

from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.models.cost import model_cost
from primer_tf.programs import (
    Instruction,
    InvalidProgram,
    Program,
    Subprogram,
    primer_ez,
    transformer,
)
from primer_tf.programs.program_layer import ProgramLayer


@pytest.fixture(scope="module")
def model():
    backbone = PrimerBackbone(
        vocabulary_size=60,
        num_layers=2,
        hidden_dim=16,
        block=["program"],
        program=primer_ez(num_heads=2, expansion=2).to_json(),
    )
    rng = np.random.default_rng(0)
    for weight in backbone.decoder.weights:
        weight.assign(ops.convert_to_numpy(weight) + 0.3 * rng.standard_normal(weight.shape))
    return PrimerCausalLM(backbone)


def batch(length=12):
    ids = np.random.default_rng(1).integers(3, 60, (2, length)).astype("int32")
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}


def test_it_saves_and_loads(model, tmp_path):
    model.save_to_preset(str(tmp_path / "preset"))
    loaded = PrimerCausalLM.from_preset(str(tmp_path / "preset"))
    expected, got = (ops.convert_to_numpy(each(batch())) for each in (model, loaded))
    np.testing.assert_array_equal(got, expected)
    model.save(tmp_path / "model.keras")


def test_it_generates_what_the_whole_forward_pass_predicts(model):
    ids = batch()["token_ids"]
    expected, lengths = ids.copy(), np.array([6, 4])
    for row, length in enumerate(lengths):
        for position in range(length, 12):
            full = {"token_ids": expected, "padding_mask": np.ones_like(ids)}
            logits = ops.convert_to_numpy(model(full))
            expected[row, position] = logits[row, position - 1].argmax(-1)
    mask = (np.arange(12) < lengths[:, None]).astype("int32")
    model.compile(sampler="greedy", jit_compile=False)
    inputs = {"token_ids": ids * mask, "padding_mask": mask}
    got = model.generate(inputs, stop_token_ids=None)
    np.testing.assert_array_equal(got["token_ids"], expected)


def test_its_cost(model):
    cost = model_cost(model.backbone.arguments, sequence_length=10)
    assert cost.parameters == model.count_params()
    layers = {"vocabulary_size": 60, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 32}
    ours = model_cost({**layers, "num_heads": 2, "head_dim": 8}, sequence_length=10)
    assert cost.train_flops == ours.train_flops


def test_it_trains(model):
    model.compile(optimizer="adam", jit_compile=False)
    before = [ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    model.fit(batch(), batch()["token_ids"], verbose=0)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(ops.convert_to_numpy(weight) - old).max() > 0, weight.path


def test_what_it_refuses():
    program = transformer(num_heads=2).to_json()
    with pytest.raises(ValueError, match="needs the argument `program`"):
        PrimerBackbone(block=["program"])
    with pytest.raises(ValueError, match="no dropout"):
        PrimerBackbone(block=["program"], program=program, dropout=0.1)
    with pytest.raises(ValueError, match="no dropout"):
        ProgramLayer(program, dropout=0.1)
    with pytest.raises(ValueError, match="hidden_dim 60 is not a multiple of 8"):
        PrimerBackbone(block=["program"], program=program, hidden_dim=60)
    with pytest.raises(ValueError, match="segment_ids"):
        ProgramLayer(program)(np.ones((1, 3, 16)), segment_ids=np.zeros((1, 3), "int32"))


def test_a_program_for_one_number_of_channels():
    means = Instruction("reduce_mean", branches=16)  # 16 channels, whatever `hidden_dim` is.
    program = Program((Subprogram("main", (means, Instruction("add", 0, 2))),), (0.0,), (8,))
    x = np.random.default_rng(0).standard_normal((1, 3, 16))
    expected = x + x.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(ProgramLayer(program)(x), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidProgram, match="16 channels do not broadcast"):
        ProgramLayer(program)(np.ones((1, 3, 32)))
