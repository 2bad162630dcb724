"""The library's programs compute what our layers compute."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.models import PrimerBackbone
from primer_tf.programs import primer, primer_ez, transformer, transformer_plusplus

C, H, D = 32, 4, 8
MODELS = {
    "transformer": (transformer(H), {"kernel_size": None, "activation": "relu"}),
    "transformer_plusplus": (
        transformer_plusplus(H),
        {"kernel_size": None, "activation": "swish", "gated": True, "normalization": "rms"},
    ),
    "primer_ez": (primer_ez(H), {}),
    "primer": (
        primer(H),
        {"shared_query_key": True, "normalization": "primer", "placement": "alternating"},
    ),
}


def backbones(name):
    program, arguments = MODELS[name]
    common = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": C}
    expansion = 3 if arguments.get("gated") else 4
    keras.utils.set_random_seed(0)
    layers = PrimerBackbone(
        **common, num_heads=H, head_dim=D, intermediate_dim=expansion * C, **arguments
    )
    own = PrimerBackbone(
        **common,
        block=["program"],
        program=program.to_json(),
        normalization=arguments.get("normalization", "layer"),
    )
    return layers, own


def norm_weights(norm):
    return [ops.convert_to_numpy(w)[None] for w in norm.weights]


def per_head(kernel):
    return ops.convert_to_numpy(kernel).reshape(-1, H, D).transpose(1, 0, 2)


def attention_weights(layer, name):
    """Returns the weights of an attention layer as a program's, by path below its call."""

    def convolution(stream):
        taps = np.stack([ops.convert_to_numpy(t) for t in layer.convolutions[stream].taps])
        return taps.reshape(3, H, D).transpose(1, 0, 2)

    def projection(stream):
        return per_head(layer.projections[stream].kernel)[:, None]

    output = ops.convert_to_numpy(layer.output_dense.kernel)[None, None]
    if name == "primer":
        return {
            "0.0": projection("query_key"),
            "0.1": convolution("query_key"),
            "1.0": per_head(layer.query_dense.kernel)[:, None],
            "1.2.0": projection("value"),
            "1.2.1": convolution("value"),
            "2": output,
        }
    weights = {"1": output}
    for index, stream in enumerate(("query", "key", "value")):
        weights[f"0.{index}.0"] = projection(stream)
        if name == "primer_ez":
            weights[f"0.{index}.1"] = convolution(stream)
    return weights


def feed_forward_weights(layer):
    dense = [layer.intermediate_dense, layer.output_dense]
    if layer.gated:
        dense.insert(1, layer.linear_dense)
    kernels = [ops.convert_to_numpy(each.kernel)[None, None] for each in dense]
    biases = [ops.convert_to_numpy(each.bias)[None] for each in dense]
    steps = (0, 3, 6) if layer.gated else (0, 3)
    weights = {str(step): kernel for step, kernel in zip(steps, kernels, strict=True)}
    return weights | {str(s + 1): bias for s, bias in zip(steps, biases, strict=True)}


def block_weights(block, name):
    """Returns the weights of a block of layers as a program's, by path."""
    attention, feed_forward = block.sublayers
    norms = (0, 4) if name == "primer" else (0, 3)
    weights = {
        f"1.{path}": value for path, value in attention_weights(attention.layer, name).items()
    }
    place = 3 if name == "primer" else 4
    for path, value in feed_forward_weights(feed_forward.layer).items():
        weights[f"{place}.{path}"] = value
    for step, sublayer in zip(norms, (attention, feed_forward), strict=True):
        for index, value in enumerate(norm_weights(sublayer.norm)):
            weights[f"{step}.1.{index}"] = value
    return weights


@pytest.mark.parametrize("name", MODELS)
def test_equals_our_layers(name):
    layers, own = backbones(name)
    rng = np.random.default_rng(0)
    for weight in layers.weights:
        noise = rng.standard_normal(weight.shape)
        weight.assign(ops.convert_to_numpy(weight) + 0.2 * noise)
    assert own.count_params() == layers.count_params()
    for mine, block in zip(own.decoder.blocks, layers.decoder.blocks, strict=True):
        (layer,) = mine.sublayers
        weights = block_weights(block, name)
        for kernel in layer.kernels:
            path = ".".join(part for part in kernel.name.split("_") if part.isdigit())
            kernel.assign(weights.pop(path))
        assert not weights
    for target, source in (
        (own.token_embedding, layers.token_embedding),
        (own.decoder.norm, layers.decoder.norm),
        (own.decoder.position_bias_layers[0], layers.decoder.position_bias_layers[0]),
    ):
        target.set_weights(source.get_weights())
    ids = rng.integers(3, 50, (2, 11))
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    expected, got = (ops.convert_to_numpy(model(inputs)) for model in (layers, own))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
