"""Every large weight of every preset is split, along the axis that it should be."""

import json
import math

import keras
import pytest

from primer_tf.gin_config.presets import preset_names
from primer_tf.models import PrimerBackbone
from tests.models.test_presets import GOLDEN

# Weights of so many numbers, 256 KiB in float32, must not have a copy on every device.
LARGE = 2**16

SUBLAYER = "decoder/block_11/sublayer_2"

# By hand, for the weights of the large sizes: the axes along "model" and along "batch".
BY_HAND = {
    "token_embedding/embeddings": ("model", "batch"),
    "attention/query/kernel": ("batch", "model"),
    "attention/key/kernel": ("batch", "model"),
    "attention/query_key/kernel": ("batch", "model"),
    "attention/value/kernel": ("batch", "model"),
    "attention/attention_output/kernel": ("model", "batch"),
    "feed_forward/intermediate/kernel": ("batch", "model"),
    "feed_forward/intermediate/bias": ("model",),
    "feed_forward/output/kernel": ("model", "batch"),
}


def layout_map(*names):
    # Eight devices that need not exist: nothing is put on them.
    devices = [f"cpu:{index}" for index in range(8)]
    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
    return PrimerBackbone.get_layout_map(mesh, *names)


def weights_of(preset):
    """Returns the shapes of a preset's weights by path, those of one block for all."""
    variables = json.loads((GOLDEN / f"{preset}.json").read_text())["variables"]
    return {path.replace("*", "3"): tuple(shape) for path, (_, shape) in variables.items()}


def axes_of(layouts, path, shape):
    layout = layouts[path]
    return (None,) * len(shape) if layout is None else layout.axes


@pytest.mark.parametrize("names", [(), ("model", None), (None, "batch")])
@pytest.mark.parametrize("preset", preset_names())
def test_every_large_weight_is_split(preset, names):
    layouts = layout_map(*names)
    expected = set(names or ("model", "batch")) - {None}
    for path, shape in weights_of(preset).items():
        axes = axes_of(layouts, path, shape)
        assert len(axes) == len(shape), path
        assert set(axes) - {None} <= expected, path
        if math.prod(shape) >= LARGE:
            assert set(axes) - {None} == expected, path


@pytest.mark.parametrize("preset", ["large_primer", "xl_primer_ez"])
def test_by_hand(preset):
    layouts, seen = layout_map(), set()
    for path, shape in weights_of(preset).items():
        name = path.removeprefix("decoder/block_3/")
        name = name.split("/", 1)[1] if name.startswith("sublayer") else name
        if math.prod(shape) >= LARGE or name.endswith("intermediate/bias"):
            assert axes_of(layouts, path, shape) == BY_HAND[name]
            seen.add(name)
    assert seen >= {"token_embedding/embeddings", "feed_forward/output/kernel"} and len(seen) == 8


@pytest.mark.parametrize(
    "path, axes",
    [
        # Heads and their convolutions lie on the same devices.
        (f"{SUBLAYER}/attention/query_conv/tap_2", ("model",)),
        (f"{SUBLAYER}/attention/query_key_conv/tap_0", ("model",)),
        ("decoder/position_bias_16_heads/embeddings", ("model", None)),
        (f"{SUBLAYER}/synthesizer_attention/synthetic_scores", ("batch", "model", None)),
        (f"{SUBLAYER}/switch_feed_forward/intermediate_kernel", ("model", "batch", None)),
        (f"{SUBLAYER}/switch_feed_forward/output_kernel", ("model", None, "batch")),
        (f"{SUBLAYER}/evolved_convolution/output/depthwise/tap_6", ("model",)),
        (f"{SUBLAYER}/feed_forward/output/bias", None),
        (f"{SUBLAYER}/norm/scale", None),
        ("decoder/norm/scale", None),
    ],
)
def test_small_and_special_weights(path, axes):
    layout = layout_map()[path]
    assert (layout and layout.axes) == axes


def test_an_axis_that_the_mesh_lacks():
    with pytest.raises(ValueError, match="no axis 'modle'; its axes: batch, model"):
        layout_map("modle")
