"""Each step of incremental decoding equals the full forward pass."""

import numpy as np
import pytest

from tests.mesh.tf1 import in_tf1

# Prompts of different lengths, one of them empty, one shorter than the convolution.
PROMPTS = np.zeros((4, 7), "int32")
PROMPTS[0, :5] = [11, 12, 13, 14, 15]
PROMPTS[1, :1] = [40]
PROMPTS[3, :3] = [7, 99, 7]


def recording(model):
    """Returns `model` with an additional decoding state: the logits of every decoding step."""
    import copy

    import mesh_tensorflow as mtf

    call = model._call_internal

    def call_recorded(context, inputs, targets=None):
        logits = call(context, inputs, targets)
        if context.mode == "first_part":
            context.record_new_states([mtf.zeros_like(logits)])
        if context.mode == "incremental":
            (kept,) = context.get_states(1)
            here = mtf.one_hot(context.position, context.length_dim, dtype=logits.dtype)
            context.record_new_states([kept + logits * here])
        return logits

    model = copy.copy(model)
    model._call_internal = call_recorded
    return model


def loop_results(decode):
    """Returns the final state of the decoding loop, which the decoder returns only in part."""
    from unittest import mock

    import mesh_tensorflow as mtf

    loop, results = mtf.while_loop, []

    def kept(*args, **kwargs):
        results.extend(loop(*args, **kwargs))
        return results

    with (
        mock.patch("mesh_tensorflow.while_loop", kept),
        mock.patch("mesh_tensorflow.ops_with_redefined_builtins.while_loop", kept),
    ):
        decode()
    return results


# Models with every kind of layer. Switch has no jitter, and its experts have room for all tokens:
# otherwise the output of a token would depend on the others, of which a step has fewer.
MODELS = {
    "tiny_primer_ez": (),
    "tiny_primer": (),
    "tiny_evolved_transformer": (),
    "tiny_synthesizer": ("Synthesizer.num_heads = 2", "Synthesizer.key_value_size = 8"),
    "tiny_switch_primer": (
        "num_layers = 1",
        "MoE1D.switch_policy_eval = 'argmax'",
        "MoE1D.capacity_factor_eval = 4.0",
    ),
}


FAST = ("tiny_primer",)
EVERY_MODEL = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in MODELS]
)


@EVERY_MODEL
@in_tf1
def test_greedy_steps_equal_the_full_forward_pass(name):
    import tensorflow.compat.v1 as tf

    from tests.mesh.fixtures import TINY, RandomModel, full_logits

    with tf.Graph().as_default():
        random_model = RandomModel(name, (*TINY, *MODELS[name]))
        prompts = random_model.ids(PROMPTS)
        model = recording(random_model.model)
        _, ids, *states = loop_results(
            lambda: model.sample_autoregressive(prompts, temperature=0.0, stop_at_token=-1)
        )
        with tf.variable_scope("", reuse=True):
            whole = full_logits(random_model, ids)
        ids, steps, whole = random_model.run(ids, states[-1], whole)
    compared = 0
    for row, prompt in enumerate(PROMPTS):
        for position in range(np.count_nonzero(prompt), ids.shape[1]):
            np.testing.assert_allclose(steps[row, position], whole[row, position], atol=1e-5)
            assert ids[row, position] == whole[row, position].argmax()
            compared += 1
    assert compared == 4 * 7 - (5 + 1 + 0 + 3)


@EVERY_MODEL
@in_tf1
@pytest.mark.slow
def test_beam_steps_equal_the_full_forward_pass(name):
    import mesh_tensorflow as mtf
    import tensorflow.compat.v1 as tf

    from primer_tf.mesh.decoding import beam_search_continuation
    from tests.mesh.fixtures import TINY, RandomModel, full_logits

    with tf.Graph().as_default():
        random_model = RandomModel(name, (*TINY, *MODELS[name]))
        prompts = random_model.ids(PROMPTS)
        model = recording(random_model.model)
        end, alive, _, _, _, _, *states = loop_results(
            lambda: beam_search_continuation(
                model,
                {"inputs": prompts},
                mtf.VariableDType(tf.float32),
                beam_size=3,
                decode_length=4,
            )
        )
        batch, beam, length = alive.shape.dims
        flat = mtf.Dimension("batch", batch.size * beam.size)
        with tf.variable_scope("", reuse=True):
            whole = full_logits(random_model, mtf.reshape(alive, [flat, length]))
        steps = mtf.reshape(states[-1], [flat, length, whole.shape.dims[-1]])
        end, alive, steps, whole = random_model.run(end, alive, steps, whole)
    assert alive.shape == (4, 3, 11) and end > 5
    # Every beam starts with the prompt, and its steps follow its own tokens.
    for row, prompt in enumerate(PROMPTS):
        length = np.count_nonzero(prompt)
        assert (alive[row, :, :length] == prompt[:length]).all()
        assert len({tuple(tokens) for tokens in alive[row]}) == 3
    np.testing.assert_allclose(steps[:, :end], whole[:, :end], atol=1e-5)


@pytest.mark.slow
@in_tf1
def test_best_beam_is_at_least_as_good_as_greedy():
    import mesh_tensorflow as mtf
    import tensorflow.compat.v1 as tf

    from primer_tf.mesh.decoding import beam_search_continuation
    from tests.mesh.fixtures import RandomModel, full_logits

    def continuation_score(ids, logits, start):
        log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        picked = np.take_along_axis(log_probabilities, ids[..., None], -1)[..., 0]
        return picked[:, start:].sum(-1)

    with tf.Graph().as_default():
        random_model = RandomModel("tiny_primer_ez")
        prompt = np.array([[11, 12, 13], [5, 9, 2]], "int32")
        prompts = random_model.ids(prompt)
        padded = mtf.pad(prompts, [0, 4], "length")
        greedy = random_model.model.sample_autoregressive(padded, temperature=0.0, stop_at_token=-1)
        with tf.variable_scope("", reuse=True):
            beams = beam_search_continuation(
                random_model.model,
                {"inputs": prompts},
                mtf.VariableDType(tf.float32),
                beam_size=8,
                alpha=0.0,
                decode_length=4,
            )
            best = mtf.concat([prompts, beams], "length")
            logits = [full_logits(random_model, ids) for ids in (greedy, best)]
        greedy, best, *logits = random_model.run(greedy, best, *logits)
    assert best.shape == greedy.shape == (2, 7)
    assert not (best == 1).any(), "all sequences must have the same length"
    assert (
        continuation_score(best, logits[1], 3) >= continuation_score(greedy, logits[0], 3) - 1e-4
    ).all()


@pytest.mark.slow
@in_tf1
def test_sampling_follows_the_distribution():
    import tensorflow.compat.v1 as tf

    from tests.mesh.fixtures import RandomModel, full_logits

    with tf.Graph().as_default():
        tf.set_random_seed(1)
        random_model = RandomModel("tiny_primer_ez")
        prompts = np.zeros((2000, 4), "int32")
        prompts[:, :3] = [11, 12, 13]
        ids = random_model.model.sample_autoregressive(
            random_model.ids(prompts), temperature=1.0, stop_at_token=-1
        )
        with tf.variable_scope("", reuse=True):
            logits = full_logits(random_model, ids)
        ids, logits = random_model.run(ids, logits)
    expected = np.exp(logits[0, 3]) / np.exp(logits[0, 3]).sum()
    drawn = np.bincount(ids[:, 3], minlength=len(expected)) / len(ids)
    # The total variation distance of 2,000 samples from 128 outcomes is about 0.1 if they agree.
    assert 0.5 * np.abs(drawn - expected).sum() < 0.2
