"""Every private name of TensorFlow, JAX, Keras and KerasHub that the Keras code uses, and why.

When a release moves one, this file is what changes, and `tests/test_compat.py` is what fails.

Subclasses also use private attributes of the classes that they derive from:

- `keras.Model`: `_compile_metrics`, `_loss_tracker` and `_aggregate_additional_loss`, to train by
  hidden states (`models/fused_loss.py`, `models/hidden_states_trainer.py`),
  `_warn_if_trainable_state_changed`, to silence it (`models/compiled_functions.py`), and
  `_maybe_symbolic_build` and `_symbolic_build`, to train on several workers and without padding
  masks (`models/several_workers.py`, `models/fused_loss.py`).
- `keras.optimizers.Adafactor`: `_trainable_variables`, `_iterations`, `_learning_rate`,
  `_get_variable_index` and `_rms`, to change its rules (`optimizers/t5_adafactor.py`).
- `keras.layers.MultiHeadAttention`: `_query_dense`, `_key_dense` and `_value_dense`, to convolve
  what they return (`drop_in/convolved_projections.py`). Keras' `GroupQueryAttention` and the
  attention of Llama and Mistral below have them, too.
- `keras_hub.layers.TransformerDecoder`: `_self_attention_layer` and
  `_feedforward_intermediate_dense`, to change them (`drop_in/decoders.py`).
- `GemmaDecoderBlock`: `_compute_attention_mask`, to call it with another activation (same file).
- `keras_hub.models.CausalLM`: `_normalize_generate_inputs`, to check token ids
  (`models/cached_generation.py`).
- `keras_hub.tokenizers.SentencePieceTokenizer`: `_sentence_piece`, `_set_proto_tf`,
  `_tokenize_tf`, `_detokenize_tf`, `_unk_token_id` and `_add_special_token`
  (`models/primer_tokenizer.py`).

Ruff forbids private names everywhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import keras
from keras.src.backend import get_keras_mask, get_stateless_scope, in_stateless_scope
from keras.src.backend.common import global_state
from keras.src.losses.loss import scale_loss_for_distribution, squeeze_or_expand_to_same_rank
from keras.src.trainers.trainer import model_supports_jit

if TYPE_CHECKING:
    from keras_hub.src.models.gemma.gemma_attention import CachedGemmaAttention
    from keras_hub.src.models.gemma.gemma_decoder_block import GemmaDecoderBlock
    from keras_hub.src.models.llama.llama_attention import LlamaAttention
    from keras_hub.src.models.llama.llama_decoder import LlamaTransformerDecoder
    from keras_hub.src.models.mistral.mistral_attention import CachedMistralAttention
    from keras_hub.src.models.mistral.mistral_transformer_decoder import MistralTransformerDecoder
    from keras_hub.src.utils.preset_utils import (
        CONFIG_FILE,
        PREPROCESSOR_CONFIG_FILE,
        TASK_CONFIG_FILE,
        TASK_WEIGHTS_FILE,
        TOKENIZER_CONFIG_FILE,
        check_file_exists,
        load_json,
    )

__all__ = [
    # The mask that Keras keeps with a tensor, of which layers with a `padding_mask` take account.
    "get_keras_mask",
    # Gradient checkpointing must know whether JAX's `fit` has given variables other values.
    "get_stateless_scope",
    "in_stateless_scope",
    # Keras' own losses divide by the replicas of a `tf.distribute` strategy; so must ours.
    "scale_loss_for_distribution",
    # And weights must meet losses of another rank as they do there.
    "squeeze_or_expand_to_same_rank",
    # XLA must not compile generation where Keras would not let it compile training.
    "model_supports_jit",
    "supports_flash_attention",
    "flatten_layers",
    "moving_averages",
    "open_for_weights",
    "forget_uninitialized_variables",
    "in_xla_context",
    "trained_variables",
    "set_variable_layout",
    "present_value",
    "set_present_value",
    "coordination_client",
    "variable_layout",
    # KerasHub's names for the files of a preset, and its readers of presets on its hubs.
    "CONFIG_FILE",
    "PREPROCESSOR_CONFIG_FILE",
    "TASK_CONFIG_FILE",
    "TASK_WEIGHTS_FILE",
    "TOKENIZER_CONFIG_FILE",
    "check_file_exists",
    "load_json",
    # The layers of KerasHub's models that get convolutions.
    "CachedGemmaAttention",
    "CachedMistralAttention",
    "GemmaDecoderBlock",
    "LlamaAttention",
    "LlamaTransformerDecoder",
    "MistralTransformerDecoder",
]

# Modules of `keras_hub.src.models`.
_MODEL_LAYERS = {
    "CachedGemmaAttention": "gemma.gemma_attention",
    "CachedMistralAttention": "mistral.mistral_attention",
    "GemmaDecoderBlock": "gemma.gemma_decoder_block",
    "LlamaAttention": "llama.llama_attention",
    "LlamaTransformerDecoder": "llama.llama_decoder",
    "MistralTransformerDecoder": "mistral.mistral_transformer_decoder",
}


def __getattr__(name: str) -> Any:
    # KerasHub is imported when one of its names is asked for: layers do without it.
    if name in _MODEL_LAYERS:
        return getattr(import_module(f"keras_hub.src.models.{_MODEL_LAYERS[name]}"), name)
    if name in __all__:
        return getattr(import_module("keras_hub.src.utils.preset_utils"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def supports_flash_attention(shape: tuple[int, ...], dtype: Any) -> bool:
    """Returns whether Keras' `dot_product_attention` on JAX can use cuDNN's flash attention.

    On a TPU Keras has flash attention, too, but without a bias.

    Args:
        shape: Shape of the queries and keys, `[B, H, T, D]`.
        dtype: Their dtype.
    """
    import jax
    from keras.src.backend.jax.nn import _can_use_flash_attention

    if jax.devices()[0].platform != "gpu":
        return False
    batch, heads, length, channels = shape
    x = jax.ShapeDtypeStruct((batch, length, heads, channels), dtype)
    bias = jax.ShapeDtypeStruct((1, heads, length, length), dtype)
    return bool(_can_use_flash_attention(x, x, x, bias))


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer or model and all layers inside it, at any depth."""
    return layer._flatten_layers()


@contextmanager
def open_for_weights(layer: keras.layers.Layer) -> Iterator[None]:
    """Lets a block add sublayers to a layer that is built, under the layer's path."""
    layer._tracker.unlock()
    try:
        with layer._open_name_scope():
            yield
    finally:
        layer._tracker.lock()


def trained_variables(optimizer: Any) -> list[keras.Variable] | None:
    """Returns the weights that an optimizer was built for, or `None` if it is not built.

    Args:
        optimizer: An optimizer or `None`.
    """
    built = optimizer is not None and optimizer.built
    return getattr(optimizer, "_trainable_variables", None) if built else None


def moving_averages(optimizer: Any) -> list[tuple[keras.Variable, keras.Variable]]:
    """Returns each weight with its moving average, nothing if the optimizer keeps none.

    Args:
        optimizer: A built optimizer, perhaps a wrapper such as `LossScaleOptimizer`.
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(weight, average) for weight, average in pairs if average is not None]


def variable_layout(variable: keras.Variable) -> keras.distribution.TensorLayout | None:
    """Returns how a weight is split over devices, `None` without a distribution of Keras.

    The second moments of `optimizers/t5_adafactor.py` are split as their weights are. Keras splits
    the variables of its own optimizers so, but only those of the shape of a weight.
    """
    layout = getattr(variable, "_layout", None)
    return layout if isinstance(layout, keras.distribution.TensorLayout) else None


def set_variable_layout(
    variable: keras.Variable, layout: keras.distribution.TensorLayout | None
) -> None:
    """Says how a weight without a value is split over devices.

    Keras does so when it makes the value. Optimizers split their variables as their weights.
    """
    variable._layout = layout


def present_value(variable: keras.Variable) -> Any:
    """Returns the array of a variable, of which this host may have a part only."""
    return variable._value


def set_present_value(variable: keras.Variable, value: Any) -> None:
    """Gives a variable something in place of its array that NumPy can convert.

    An assignment would put it on the devices.
    """
    variable._value = value


def coordination_client() -> Any:
    """Returns JAX' client of the key-value store that all processes of a run share."""
    from jax._src import distributed

    return distributed.global_state.client


def forget_uninitialized_variables() -> None:
    """Empties Keras' list of variables to initialize later.

    The variables of a model that is built only to stream its weights never need values. Keras would
    give them values of full size at the end of the scope.
    """
    global_state.set_global_attribute("uninitialized_variables", [])


def in_xla_context() -> bool:
    """Returns whether TensorFlow is tracing a function that XLA compiles.

    Some formulas are fast only with XLA and others only without it, and no public name tells.
    """
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
