"""Cached generation equals its definition, a full forward pass for every token."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError

PROMPTS = ["In the", "And God said, Let there be", "And"]
LENGTH = 24

# For tests of samplers, only the kind of the model's cache matters.
one_of_each_cache = pytest.mark.parametrize("model", ["primer", "evolved", "switch"], indirect=True)
one_cache = pytest.mark.parametrize("model", ["primer"], indirect=True)


def full_logits(model, token_ids):
    outputs = model({"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)})
    return ops.convert_to_numpy(outputs)


def greedy_by_definition(model, inputs):
    token_ids = np.array(ops.convert_to_numpy(inputs["token_ids"]))
    lengths = ops.convert_to_numpy(inputs["padding_mask"]).sum(axis=1)
    assert len(set(lengths)) > 1, "the prompts must differ in length"
    for position in range(lengths.min(), token_ids.shape[1]):
        best = full_logits(model, token_ids)[:, position - 1].argmax(axis=-1)
        token_ids[:, position] = np.where(position < lengths, token_ids[:, position], best)
    return token_ids


def test_greedy_equals_repeated_full_passes_for_a_ragged_batch(model, preprocessor):
    inputs = preprocessor.generate_preprocess(PROMPTS, sequence_length=LENGTH)
    expected = greedy_by_definition(model, inputs)
    assert len(np.unique(expected)) > 8, "a constant text would prove nothing"
    model.compile(sampler="greedy", jit_compile=False)
    inputs = {key: ops.convert_to_tensor(value) for key, value in inputs.items()}
    outputs = model.make_generate_function()(inputs, stop_token_ids=None)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs["token_ids"]), expected)
    texts = model.generate(PROMPTS, max_length=LENGTH, stop_token_ids=None)
    assert texts == [
        preprocessor.tokenizer.detokenize([i for i in row.tolist() if i > 1]) for row in expected
    ]


@one_cache
def test_greedy_takes_the_largest_of_close_logits(model):
    model.compile(sampler="greedy")
    logits = np.full((1, 9), -10.0, "float32")
    # Their softmax rounds to the same number.
    logits[0, 3], logits[0, 7] = 0.01, np.nextafter(np.float32(0.01), np.float32(1.0))
    token_ids = model.sampler(
        next=lambda prompt, cache, index: (ops.convert_to_tensor(logits), None, cache),
        prompt=ops.ones((1, 4), dtype="int32"),
        index=1,
    )
    assert ops.convert_to_numpy(token_ids).tolist() == [[1, 7, 7, 7]]


def test_cached_logits_equal_the_full_pass(model):
    token_ids = np.random.default_rng(1).integers(3, 290, (3, 12)).astype("int32")
    full = full_logits(model, token_ids)
    cache = model.backbone.decoder.build_cache(3, 12)
    for position in range(12):
        token = ops.convert_to_tensor(token_ids[:, position : position + 1])
        logits, _, cache = model.call_with_cache(token, cache, position)
        np.testing.assert_allclose(
            ops.convert_to_numpy(logits)[:, 0], full[:, position], rtol=1e-4, atol=1e-4
        )


@one_of_each_cache
def test_beam_of_one_is_greedy(model, preprocessor):
    import keras_hub

    texts = []
    for sampler in ("greedy", keras_hub.samplers.BeamSampler(num_beams=1)):
        model.compile(sampler=sampler, jit_compile=False)
        texts.append(model.generate(PROMPTS, max_length=LENGTH))
    assert texts[0] == texts[1]


@one_cache
@pytest.mark.parametrize("sampler", ["top_k", "top_p", "random", "contrastive"])
def test_every_sampler_keeps_the_prompts_of_a_ragged_batch(model, sampler):
    model.compile(sampler=sampler, jit_compile=False)
    for prompt, text in zip(PROMPTS, model.generate(PROMPTS, max_length=LENGTH), strict=True):
        assert text.startswith(prompt)


@one_cache
def test_stops_at_the_end_token(model, preprocessor):
    """The first token after the prompt serves as the stop token, which nothing may follow."""
    inputs = preprocessor.generate_preprocess(["And God"], sequence_length=LENGTH)
    length = int(ops.convert_to_numpy(inputs["padding_mask"]).sum())
    expected = np.array(ops.convert_to_numpy(inputs["token_ids"]))
    stop = int(full_logits(model, expected)[0, length - 1].argmax())
    model.compile(sampler="greedy", jit_compile=False)
    inputs = {key: ops.convert_to_tensor(value) for key, value in inputs.items()}
    outputs = model.make_generate_function()(inputs, stop_token_ids=[stop])
    assert ops.convert_to_numpy(outputs["padding_mask"]).sum() == length + 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others have no choice")
def test_compiled_generation_is_the_same(model):
    texts = []
    for jit_compile in (False, True):
        model.compile(sampler="greedy", jit_compile=jit_compile)
        texts.append(model.generate(PROMPTS, max_length=LENGTH))
    assert texts[0] == texts[1]


@one_cache
@pytest.mark.parametrize("name, seconds", [("greedy", 0.1), ("top_k", 0.0), ("beam", 0.1)])
def test_stepwise_generation_is_the_same(model, preprocessor, monkeypatch, name, seconds):
    """Token by token it hands out what `generate` draws with the same seed."""
    from primer_tf.models import stepwise_generation
    from primer_tf.samplers import make_sampler

    monkeypatch.setattr(stepwise_generation, "SECONDS", seconds)
    inputs = preprocessor.generate_preprocess(PROMPTS, sequence_length=LENGTH)
    inputs = {key: ops.convert_to_tensor(value) for key, value in inputs.items()}
    # XLA draws other numbers than TensorFlow, and compiles for seconds.
    model.compile(sampler=make_sampler(name, seed=3), jit_compile=False)
    expected = model.make_generate_function()(inputs, stop_token_ids=None)["token_ids"]
    expected = ops.convert_to_numpy(expected)
    model.compile(sampler=make_sampler(name, seed=3), jit_compile=False)
    ends = []
    for token_ids, end in stepwise_generation.StepwiseGenerator(model)(inputs):
        np.testing.assert_array_equal(token_ids[:, :end], expected[:, :end])
        ends.append(end)
    assert ends[-1] == LENGTH and ends == sorted(set(ends))
    if name != "beam":
        assert len(ends) >= (LENGTH - 6 if seconds == 0 else 3)


@one_cache
def test_length_beyond_the_model(model):
    model.compile(sampler="greedy")
    with pytest.raises(UserError, match="max_length 600 is beyond the model's 512 tokens"):
        model.generate("And", max_length=600)


@one_of_each_cache
def test_a_prompt_longer_than_a_chunk(model, preprocessor, monkeypatch):
    """If the chunk size does not divide the length, the last chunk repeats some positions."""
    from primer_tf.models import cached_generation

    model.compile(sampler="greedy", jit_compile=False)
    texts = model.generate(PROMPTS, max_length=LENGTH)
    monkeypatch.setattr(cached_generation, "PREFILL_CHUNK", 5)
    model.compile(sampler="greedy", jit_compile=False)
    assert model.generate(PROMPTS, max_length=LENGTH) == texts


@one_cache
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's traces")
def test_one_trace_serves_prompts_of_all_lengths(model):
    model.compile(sampler="greedy")
    for prompt in PROMPTS:
        model.generate(prompt, max_length=LENGTH)
    assert model.make_generate_function().experimental_get_tracing_count() == 1


@one_cache
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
@pytest.mark.parametrize(
    "row", [[0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
)
def test_prompts_are_padded_on_the_right(model, kind, row):
    """Other prompts are errors: decoding would start at the wrong position or not at all."""
    tokens_only = type(model)(model.backbone)
    tokens_only.compile(sampler="greedy", run_eagerly=True)
    mask = np.array([[1, 1, 1, 0, 0, 0], row])
    prompts = {"token_ids": np.arange(12).reshape(2, 6) + 3, "padding_mask": mask}
    if kind == "dataset":
        import tensorflow as tf

        prompts = tf.data.Dataset.from_tensors(prompts)
    if row[:2] == [1, 1]:
        ids = tokens_only.generate(prompts, stop_token_ids=None)["token_ids"]
        assert ids.shape == (2, 6) and (ids[1, :2] == [9, 10]).all()
    else:
        with pytest.raises(UserError, match="of row 1 is not. Pad prompts on the right"):
            tokens_only.generate(prompts, stop_token_ids=None)
