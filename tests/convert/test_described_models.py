"""For models without a published file, the generated gin text describes the same Mesh TF model."""

import keras
import numpy as np
import pytest

from primer_tf.convert.variable_names import mesh_names
from primer_tf.gin_config import gin_writer
from primer_tf.models import PrimerBackbone
from tests.convert.parity import apart, in_keras, worst

SIZES = {
    "vocabulary_size": 300,
    "num_layers": 2,
    "hidden_dim": 16,
    "intermediate_dim": 24,
    "num_heads": 2,
    "head_dim": 8,
    "max_sequence_length": 64,
}
# No token is dropped, because rounding errors would decide which; and jitter is random.
EXPERTS = {"capacity_factor": 4.0, "eval_capacity_factor": 4.0, "router_jitter": 0.0}

MODELS = {
    "attention without convolutions, shared projection": {
        "kernel_size": None,
        "shared_query_key": True,
        "activation": "gelu",
        "normalization": "primer",
        "placement": "post",
        "num_buckets": 9,
        "max_distance": 20,
    },
    "long Synthesizer, blocks of odd length": {
        "block": ["feed_forward", "synthesizer_attention", "feed_forward"],
        "synthesizer_length": 70,
        "activation": "mish",
        "gated": True,
        "normalization": "rms",
        "placement": "alternating",
        "max_distance": 40,
    },
    "two kinds of heads": {
        "block": ["double_heads_attention", "evolved_convolution", "attention", "feed_forward"],
        "kernel_size": 5,
        "activation": "leaky_relu",
        "placement": "alternating",
        "max_distance": 40,
    },
    "experts": {
        "block": ["attention", "switch_feed_forward"],
        "kernel_size": None,
        "activation": "softplus",
        "gated": True,
        "num_experts": 4,
        "router_z_loss": 0.02,
        "load_balance_loss": 0.3,
        "initializer_scale": 0.1,
        **EXPERTS,
    },
}


@pytest.fixture
def described(tmp_path):
    """A function from a model's name to its backbone and its gin file."""

    def described(name):
        backbone = PrimerBackbone(**SIZES, **MODELS[name])
        file = tmp_path / "model.gin"
        file.write_text(gin_writer.write(backbone.get_config()))
        return backbone, str(file)

    return described


@pytest.mark.parametrize("name", MODELS)
def test_variables_have_the_same_names_and_shapes(name, mesh, described):
    backbone, file = described(name)
    names = mesh_names(backbone)
    shapes = {names[v.path]: tuple(v.shape) for v in backbone.weights}
    # Mesh TensorFlow builds it for T5's own vocabulary instead of 300 tokens.
    shapes["transformer/embedding"] = (32_100, 16)
    assert mesh("shapes", gin_file=file) == shapes


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if "shared" in n else pytest.mark.slow) for n in MODELS]
)
def test_the_engines_agree(name, mesh, described):
    _, file = described(name)
    rng = np.random.default_rng(0)
    batches = rng.integers(3, 300, (2, 4, 64)).astype("int32")
    prompts = np.zeros((2, 64), "int32")
    prompts[0, :9], prompts[1, :2] = rng.integers(3, 300, 9), rng.integers(3, 300, 2)
    task = {"gin_file": file, "bindings": [], "batches": batches, "prompts": prompts}
    expected = mesh("reference", **task)
    actual = in_keras(**task, weights=expected["weights"])
    assert apart(actual["logits"], expected["logits"]) < 1e-4
    assert worst(apart, actual["gradients"], expected["gradients"]) < 1e-3
    assert actual["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    np.testing.assert_array_equal(actual["continuation"], expected["continuation"])


def test_activations_are_those_of_keras(mesh):
    x = np.concatenate([np.linspace(-7, 7, 57), [-1.0, 0.5, 1.0]]).astype("float32")
    for name, expected in mesh("activations", x=x).items():
        actual = keras.ops.convert_to_numpy(keras.activations.get(name)(x))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=name)
