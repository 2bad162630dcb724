"""A model that counts, so that its greedy text is known; it does all the work of any other model.

After token `t` comes `t + 1`, and after the last token of a cycle the first. With a short cycle the
text repeats itself, and with one longer than the text no token comes twice.
"""

import tempfile

import keras
import numpy as np

from benchmarks.candidates import export, keras_model, primer
from primer_tf.models.ngram_draft import NGramDraft
from primer_tf.models.speculative_decoding import SpeculativeDecoding

FIRST = 3  # The first token of the cycle.


class WrongDraft(NGramDraft):
    """Always proposes, and never what follows."""

    def has_tokens(self, token_ids, positions):
        """Says that there is a proposal for each row."""
        return keras.ops.ones_like(positions, dtype="bool")

    def propose(self, token_ids, positions, state):
        """Proposes the last token again."""
        last = keras.ops.take_along_axis(token_ids, positions[:, None] - 1, axis=1)
        return keras.ops.tile(last, (1, self.length)), state


def generate(
    model, batch_size, prompt, new, cycle, draft=None, quantize=None, exported=False, **kwargs
):
    """Decodes greedily, with a draft or without, in Keras or with an export."""
    causal_lm = build(model, cycle)
    if quantize:
        causal_lm.quantize(quantize)
    columns = np.arange(prompt + new)[None]
    ids = FIRST + (columns + 7 * np.arange(batch_size)[:, None]) % cycle
    if exported:
        with tempfile.TemporaryDirectory() as folder:
            version = export.write_model(
                folder, causal_lm, prompt + new, ids=True, draft=draft, **kwargs
            )
            run = export.generate_from(version, ids[:, :prompt], new)
        return _checked(run, ids[:, prompt:].sum())
    if draft == "small":
        causal_lm.compile(sampler="greedy", draft=build(smaller(model), cycle))
    elif draft == "wrong":
        causal_lm.compile(sampler="greedy", draft="ngram")
        causal_lm._speculative_decoding = SpeculativeDecoding(causal_lm, WrongDraft())
    else:
        causal_lm.compile(sampler="greedy", draft=draft)
    run = keras_model.generate_from(causal_lm, ids, np.broadcast_to(columns < prompt, ids.shape))
    return _checked(run, ids.sum())


def _checked(run, expected):
    def checked():
        total = run()
        if total != expected:
            raise AssertionError("the model does not count")
        return total

    return checked


def smaller(model):
    """Returns the sizes of a model that drafts for one of the sizes `model`."""
    half = {key: model[key] // 2 for key in ("hidden_dim", "intermediate_dim", "num_heads")}
    return {**model, **half, "num_layers": 1}


def build(model, cycle):
    """Returns a Primer-EZ whose first attention maps a token to the next, and the rest to zero."""
    causal_lm = primer.build(model, "primer_ez")
    rows, channels = model["vocabulary_size"], model["hidden_dim"]
    table = np.random.default_rng(0).standard_normal((rows, channels))
    table = (table - table.mean(axis=1, keepdims=True)) / table.std(axis=1, keepdims=True)
    tokens = table[FIRST : FIRST + cycle]
    # One step in the cycle is a linear map: there are fewer tokens in it than channels.
    step = np.linalg.pinv(tokens) @ np.roll(tokens, -1, axis=0)
    for weight in causal_lm.backbone.trainable_variables:
        value = _value(weight.path, weight.shape, table, step)
        if value is not None:
            weight.assign(value)
    return causal_lm


def _value(path, shape, table, step):
    """Returns the value of a weight, or `None` to keep it."""
    first = "block_0/" in path
    if "token_embedding" in path:
        return table
    if "position_bias" in path:  # Only a token itself is attended to.
        return np.where(np.arange(shape[1]) == 0, 50.0, 0.0) * np.ones((shape[0], 1))
    if first and "value_conv" in path:
        return np.full(shape, float("tap_0" in path))
    if first and "value/kernel" in path:
        return np.eye(*shape)
    if first and "attention_output" in path:
        return np.eye(*shape) @ (step - np.eye(len(step)))
    if "query/kernel" in path or "output/kernel" in path:
        return np.zeros(shape)
    return None
