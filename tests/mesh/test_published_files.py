"""Published gin files, and the configurations that their runs wrote, keep their meaning."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from primer_tf.gin_config.presets import preset_arguments
from tests.mesh.paper_values import WITHOUT_EFFECT
from tests.mesh.tf1 import in_tf1

IDS = np.random.default_rng(0).integers(3, 128, (2, 9))


def logits(name, *bindings):
    import tensorflow.compat.v1 as tf

    from tests.mesh.fixtures import TINY, RandomModel, full_logits

    with tf.Graph().as_default():
        model = RandomModel(name, bindings if isinstance(name, Path) else (*TINY, *bindings))
        return model.run(full_logits(model, model.ids(IDS)))[0]


@in_tf1
def test_bindings_without_effect():
    np.testing.assert_array_equal(
        logits("tiny_primer_as_published", *WITHOUT_EFFECT), logits("tiny_primer_as_published")
    )


@in_tf1
def test_an_operative_configuration_describes_the_model_that_ran(tmp_path):
    import gin

    from primer_tf.gin_config import gin_reader
    from primer_tf.gin_config.model_arguments import backbone_arguments
    from primer_tf.gin_config.resolved_bindings import ResolvedBindings
    from tests.mesh.fixtures import TINY

    for name in ("tiny_primer", "tiny_primer_as_published"):
        expected = logits(name, *WITHOUT_EFFECT)
        file = tmp_path / f"{name}.gin"
        file.write_text(gin.operative_config_str() + "\nutils.run.model_type = 'lm'\n")
        assert "\ncall.losses = None" in file.read_text()
        read, described = (
            backbone_arguments(ResolvedBindings(gin_reader.read(files, bindings), strict=False))
            for files, bindings in (([file], ()), ([f"models/{name}.gin"], TINY))
        )
        described.pop("vocabulary_size")  # a macro that Mesh TensorFlow does not use
        assert read == described
        np.testing.assert_array_equal(logits(file, "run.layout_rules = ''"), expected)


@in_tf1
def test_the_published_primer_normalizes_before_every_layer():
    """The published files bind another stack, but the binding has no effect."""
    published = [
        "MDHA.share_qk_rep = True",
        "LayerStack.sublayers_per_layer = [@sublayer_prime_norm, @transformer.sublayer_call_layer, "
        "@transformer.sublayer_dropout, @transformer.sublayer_residual]",
        "LayerStack.sublayers_final = [@sublayer_prime_norm, @transformer.sublayer_dropout]",
        "Unitransformer.layer_stack = @PrePostNormLayerStack",
    ]
    ran = logits("tiny_primer_ez", *published)
    np.testing.assert_array_equal(ran, logits("tiny_primer_as_published"))
    described = logits("tiny_primer")
    assert np.linalg.norm(ran - described) > 0.1 * np.linalg.norm(described)


@in_tf1
def test_switch_capacity_is_mesh_tensorflows_default():
    from mesh_tensorflow.transformer import moe

    defaults = inspect.signature(moe.MoE1D).parameters
    for name in ("switch_transformer", "switch_primer"):
        for arguments in (preset_arguments(name), preset_arguments(f"tiny_{name}")):
            assert arguments["capacity_factor"] == defaults["capacity_factor_train"].default
            assert arguments["eval_capacity_factor"] == defaults["capacity_factor_eval"].default


@in_tf1
def test_unsupported_values_of_multi_dconv_head_attention():
    for argument, value in (
        ("num_memory_heads", 1),
        ("shared_kv", True),
        ("combine_dims", False),
        ("keep_query_heads_dims", True),
        ("attention_func", "hybrid"),
        ("call.losses", []),
    ):
        with pytest.raises(ValueError, match=rf"MDHA\.{argument} must be .*, got"):
            logits("tiny_primer", f"MDHA.{argument} = {value!r}")
