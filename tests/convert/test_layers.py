"""With the same weights, each Keras layer has the outputs and gradients of its Mesh counterpart.

The names of the variables are written out here, as an independent check of the conversion's names.
"""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.layers import (
    CausalSelfAttention,
    EvolvedConvolution,
    SwitchFeedForward,
    SynthesizerAttention,
    T5RelativePositionBias,
)
from tests.layers.helpers import numpy, value_and_gradients

BATCH, LENGTH, CHANNELS = 3, 20, 16
SIZES = ["d_model = 16", "num_heads = 2", "d_kv = 8", "d_ff = 24", "num_layers = 1"]
FULL = np.ones((BATCH, LENGTH), "int32")
PADDED = np.stack([np.arange(LENGTH) < n for n in (20, 13, 4)]).astype("int32")
ATTENTION = {"q": "query/kernel", "k": "key/kernel", "v": "value/kernel"}
ATTENTION |= {"o": "attention_output/kernel"}


def evolved_names():
    names = {}
    for scope, conv, width in (
        ("sep_conv11x1", "left", 11),
        ("sep_conv7x1_1", "right", 7),
        ("sep_conv7x1_2", "output", 7),
    ):
        scope += "/separable_conv1d/"
        for i in range(width):
            # Mesh TensorFlow's first tap is for the most distant position.
            tap = f"{conv}/depthwise/tap_{width - 1 - i}"
            names[f"{scope}depthwise_conv_hack/depthwise_dense_{i}/kernel"] = tap
        bias = f"{scope}depthwise_conv_hack/depthwise_dense_0/bias"
        names[bias] = f"{conv}/depthwise_bias"
        names[f"{scope}pointwise_dense/kernel"] = f"{conv}/pointwise/kernel"
        names[f"{scope}pointwise_dense/bias"] = f"{conv}/pointwise/bias"
    norm = "layer_prepostprocess/layer_norm/layer_norm_"
    return {**names, norm + "scale": "norm/gamma", norm + "bias": "norm/beta"}


def compare(tf1_process, model, index, layer, scope, names, real, bindings=(), train=False):
    """Compares the outputs at real tokens, the losses and all gradients."""
    from tests.convert.mesh_layer import run

    rng = np.random.default_rng(1)
    x, coefficients = rng.standard_normal((2, BATCH, LENGTH, CHANNELS)) * real[..., None]
    x, coefficients = x.astype("float32"), coefficients.astype("float32")
    expected = tf1_process.submit(
        run, f"models/{model}.gin", [*SIZES, *bindings], index, x, real, coefficients, train
    ).result()

    layer.build(x.shape)
    variables = {f"{layer.name}/{v.path.split(layer.name + '/')[-1]}": v for v in layer.weights}
    prefix = f"transformer/block_000/layer_{index:03d}/{scope}/"
    mesh_names = {f"{layer.name}/{ours}": prefix + theirs for theirs, ours in names.items()}
    table = T5RelativePositionBias(layer.num_heads or 1)
    bias = prefix + "relative_attention_bias"
    if bias in expected["weights"]:
        table.build()
        variables["table"], mesh_names["table"] = table.embeddings, bias
    assert mesh_names.keys() == variables.keys()
    assert set(mesh_names.values()) == expected["weights"].keys()
    for name, variable in variables.items():
        variable.assign(expected["weights"][mesh_names[name]])
    inputs = keras.Variable(x, name="x")

    def call():
        bias = table(query=LENGTH) if table.built else None
        x = ops.convert_to_tensor(inputs)
        y = layer(x, position_bias=bias, padding_mask=real, training=train)
        loss = layer.losses[-1] if layer.losses else ops.zeros(())
        return y, loss

    def total():
        y, loss = call()
        return ops.sum(y * ops.convert_to_tensor(coefficients)) + loss

    output, loss = call()
    close(numpy(output)[real == 1], expected["output"][real == 1])
    assert float(numpy(loss)) == pytest.approx(float(expected["loss"]), rel=1e-5, abs=1e-6)
    names = [*variables, "x"]
    _, gradients = value_and_gradients(total, [*variables.values(), inputs])
    for name, gradient in zip(names, gradients, strict=True):
        close(gradient, expected["gradients"][mesh_names.get(name, "x")], name)
    return expected


def close(actual, expected, name=""):
    """Checks that the largest difference is at most 1e-5 of the largest value."""
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.mark.parametrize("real", [FULL, PADDED], ids=["full", "padded"])
def test_evolved_convolution(tf1_process, real):
    layer = EvolvedConvolution(name="conv")
    scope = "DecoderConvolutionalLayer"
    compare(tf1_process, "tiny_evolved_transformer", 1, layer, scope, evolved_names(), real)


@pytest.mark.parametrize("index", [0, 2], ids=["double", "single"])
def test_double_heads_attention(tf1_process, index):
    """Each of the two kinds of attention has its own position biases."""
    heads, size, scope = {
        0: (4, 4, "DoubleHeadsAttentionLayer/double_heads_attention"),
        2: (2, 8, "SelfAttention"),
    }[index]
    layer = CausalSelfAttention(heads, size, name="attention")
    compare(tf1_process, "tiny_evolved_transformer", index, layer, scope, ATTENTION, PADDED)


@pytest.mark.parametrize("real", [FULL, PADDED], ids=["full", "padded"])
def test_synthesizer_attention(tf1_process, real):
    """A sequence of 20 positions uses and trains a corner of the scores for 512 positions."""
    layer = SynthesizerAttention(2, 8, name="attention")
    names = {**ATTENTION, "R": "synthetic_scores"}
    bindings = ["Synthesizer.num_heads = 2", "Synthesizer.key_value_size = 8"]
    compare(tf1_process, "tiny_synthesizer", 0, layer, "Synthesizer", names, real, bindings)


@pytest.mark.parametrize("real", [FULL, PADDED], ids=["full", "padded"])
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "bindings, arguments",
    [
        ([], {}),
        (
            ["group_size = 20", "activation = ['swish', 'linear']", "z_loss = 0.5"],
            # Mesh TensorFlow also multiplies the z-loss by the factor of the load-balancing loss.
            {"group_size": 20, "activation": "swish", "gated": True, "router_z_loss": 0.5 * 0.01},
        ),
        (["group_size = 7", "loss_coef = 0.3"], {"group_size": 7, "load_balance_loss": 0.3}),
    ],
    ids=["one group", "gated, z-loss", "small groups"],
)
def test_switch_feed_forward(tf1_process, bindings, arguments, train, real):
    factors = {"capacity_factor": 0.5, "eval_capacity_factor": 0.8}
    layer = SwitchFeedForward(24, 4, router_jitter=0.0, **factors, **arguments, name="experts")
    kernels = {"switch_gating": "router", "wo": "output"}
    gated = {"wi_0": "intermediate", "wi_1": "linear"}
    kernels |= gated if "gated" in arguments else {"wi": "intermediate"}
    names = {f"{theirs}/kernel": f"{ours}_kernel" for theirs, ours in kernels.items()}
    settings = ["num_experts = 4", "switch_jitter = 0.0", *bindings]
    settings += ["capacity_factor_train = 0.5", "capacity_factor_eval = 0.8"]
    if not train:
        # The engines differ on purpose: Keras adds the losses only in training.
        settings.append("loss_coef = 0.0")
    expected = compare(
        tf1_process,
        "tiny_switch_transformer",
        7,
        layer,
        "MoE1D",
        names,
        real,
        [f"MoE1D.{setting}" for setting in settings],
        train,
    )
    if real is FULL and "group_size" not in arguments:
        dropped = (expected["output"] == 0).all(axis=-1)
        assert dropped.any(), "the case must drop tokens"
