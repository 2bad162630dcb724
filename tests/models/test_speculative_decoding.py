"""Drafts change when tokens come, and not which."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError
from primer_tf.models.make_draft import make_speculative_decoding
from primer_tf.models.model_draft import ModelDraft
from primer_tf.models.ngram_draft import NGramDraft
from primer_tf.models.speculative_decoding import (
    CREDIT_OF_STEP,
    FIRST_CREDIT,
    PASS_COST,
    Draft,
    SpeculativeDecoding,
)
from tests.models.small_models import make_model

PROMPTS = ["In the", "And God said, Let there be", "And"]
LENGTH = 24

one_cache = pytest.mark.parametrize("model", ["primer"], indirect=True)


class KnownText(Draft):
    """Proposes a text that is known in advance, with some wrong tokens; counts its calls."""

    length = 5
    cost = 0.0

    def __init__(self, token_ids, wrong):
        rng = np.random.default_rng(2)
        token_ids = np.where(rng.random(token_ids.shape) < wrong, 7, token_ids)
        self.token_ids = np.pad(token_ids, ((0, 0), (0, self.length)))
        self.calls = 0

    def propose(self, token_ids, positions, state):
        self.calls += 1
        index = positions[:, None] + ops.arange(self.length, dtype="int32")
        known = ops.convert_to_tensor(self.token_ids.astype("int32"))
        return ops.take_along_axis(known, index, axis=1), state


def generate(model, inputs, draft=None, stop_token_ids=None, sampler="greedy", **options):
    model.compile(sampler=sampler, **options)
    if draft is not None:
        model._speculative_decoding = SpeculativeDecoding(model, draft)
    inputs = {key: ops.convert_to_tensor(value) for key, value in inputs.items()}
    outputs = model.make_generate_function()(inputs, stop_token_ids=stop_token_ids)
    return {key: ops.convert_to_numpy(value) for key, value in outputs.items()}


@pytest.fixture
def inputs(preprocessor):
    return preprocessor.generate_preprocess(PROMPTS, sequence_length=LENGTH)


@pytest.fixture(scope="module")
def greedy():
    """Returns what a model writes after `inputs` without a draft."""
    texts = {}

    def greedy(model, inputs):
        if model not in texts:
            texts[model] = generate(model, inputs, jit_compile=False)["token_ids"]
        return texts[model]

    return greedy


def test_greedy_text_of_a_ragged_batch(model, inputs, greedy):
    """Rows keep drafts of different lengths, up to the end of the buffer."""
    expected = greedy(model, inputs)
    draft = KnownText(expected, 0.2)
    found = generate(model, inputs, draft, run_eagerly=True)["token_ids"]
    np.testing.assert_array_equal(found, expected)
    # The shortest prompt has room for 21 tokens. JAX traces a loop once.
    assert 4 <= draft.calls <= 12 or keras.backend.backend() == "jax"


@one_cache
@pytest.mark.parametrize("prompts", [PROMPTS, pytest.param(PROMPTS[:1], marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kinds",
    [("n-grams", "model"), pytest.param(("known",), marks=pytest.mark.slow)],
)
def test_compiled(model, preprocessor, prompts, kinds):
    inputs = preprocessor.generate_preprocess(prompts, sequence_length=LENGTH)
    expected = generate(model, inputs)["token_ids"]
    drafts = {
        "n-grams": NGramDraft(),
        "model": ModelDraft(model, model),
        "known": KnownText(expected, 0.2),
    }
    for kind in kinds:
        found = generate(model, inputs, drafts[kind])["token_ids"]
        np.testing.assert_array_equal(found, expected)


@one_cache
def test_ends_at_a_stop_token_within_a_draft(model, inputs, greedy):
    text, prompts = greedy(model, inputs), ops.convert_to_numpy(inputs["padding_mask"])
    stops = (int(text[0, 9]), int(text[1, 19]), int(text[2, 7]))
    found = generate(model, inputs, KnownText(text, 0.0), stops, run_eagerly=True)
    lengths = []
    for row, prompt in zip(text, prompts.sum(axis=1), strict=True):
        ends = [i + 1 for i in range(prompt, LENGTH) if row[i] in stops]
        lengths.append(min(ends, default=LENGTH))
    mask = np.arange(LENGTH) < np.array(lengths)[:, None]
    np.testing.assert_array_equal(found["padding_mask"], mask)
    np.testing.assert_array_equal(found["token_ids"][mask], text[mask])
    assert not mask.all()


@one_cache
def test_sampled_texts_have_the_distribution_of_the_model(model):
    """Compares the first two tokens, both of which may come from one draft, by chi-square."""
    from primer_tf.samplers import make_sampler

    rows, prompt = 4000, [5, 9, 20]
    token_ids = np.tile([*prompt, 0, 0], (rows, 1)).astype("int32")
    inputs = {"token_ids": token_ids, "padding_mask": np.arange(5) < [[3]] * rows}
    sampler = make_sampler("top_k", seed=1, top_k=3, temperature=2.0)

    def probabilities(text):
        token_ids = np.array([text])
        mask = np.ones_like(token_ids)
        logits = ops.convert_to_numpy(model({"token_ids": token_ids, "padding_mask": mask}))
        logits = logits[0, -1].astype("float64") / 2.0
        best = logits.argsort()[-3:]
        weights = np.exp(logits[best] - logits.max())
        return dict(zip(best.tolist(), weights / weights.sum(), strict=True))

    class Fixed(Draft):
        """Proposes likely tokens, the second of which is right after the first of them only."""

        length = 2
        cost = 0.0

        def propose(self, token_ids, positions, state):
            first = max(probabilities(prompt))
            second = max(probabilities([*prompt, first]))
            return ops.tile(ops.convert_to_tensor([[first, second]]), (rows, 1)), state

    found = generate(model, inputs, Fixed(), sampler=sampler, run_eagerly=True)["token_ids"]
    pairs, counts = np.unique(found[:, 3:], axis=0, return_counts=True)
    counts = dict(zip(map(tuple, pairs.tolist()), counts, strict=True))
    expected = {
        (first, second): rows * p * q
        for first, p in probabilities(prompt).items()
        for second, q in probabilities([*prompt, first]).items()
    }
    assert counts.keys() <= expected.keys() and min(expected.values()) > 5
    chi_square = sum((counts.get(pair, 0) - n) ** 2 / n for pair, n in expected.items())
    assert chi_square < 26.1, "0.1% of the tests exceed this with 8 degrees of freedom"


@one_cache
def test_wrong_drafts_cost_little(model, inputs, greedy):
    """Most tokens come without a draft where drafts are wrong."""
    text = greedy(model, inputs)
    draft = KnownText((text + 1) % 300, 0.0)
    found = generate(model, inputs, draft, run_eagerly=True)["token_ids"]
    np.testing.assert_array_equal(found, text)
    assert draft.calls <= 1 + (FIRST_CREDIT + LENGTH * CREDIT_OF_STEP) / PASS_COST


def test_ngrams_that_came_before():
    """Against a search in Python."""
    rng = np.random.default_rng(0)
    token_ids = rng.integers(0, 2, (50, 20)).astype("int32")
    positions = rng.integers(1, 20, 50).astype("int32")
    draft, tensors = NGramDraft(), [ops.convert_to_tensor(x) for x in (token_ids, positions)]
    found = ops.convert_to_numpy(draft.has_tokens(*tensors))
    proposed = ops.convert_to_numpy(draft.propose(*tensors, ())[0])
    assert 10 < found.sum() < 45
    for row, end, is_found, tokens in zip(token_ids, positions, found, proposed, strict=True):
        text = row[:end].tolist()
        ends = [i for i in range(3, end) if text[i - 3 : i] == text[-3:]]
        assert bool(ends) == is_found
        if ends:
            for _ in range(draft.length):  # the text goes on as after the last occurrence
                text.append(text[ends[-1] + len(text) - end])
            assert tokens.tolist() == text[end:]


@one_cache
def test_a_model_proposes_what_it_would_write(model, inputs, preprocessor):
    small = make_model("primer", preprocessor, num_layers=1)
    written = generate(small, inputs, jit_compile=False)["token_ids"]
    draft = ModelDraft(small, model)
    assert 0.5 < draft.cost / draft.length < 1
    lengths = ops.sum(ops.cast(inputs["padding_mask"], "int32"), axis=1)
    state = draft.start(ops.convert_to_tensor(inputs["token_ids"]), lengths)
    token_ids = ops.convert_to_tensor(written)
    for ahead in (0, 1, 9, 10):  # it catches up with tokens that came without a draft
        positions = ops.minimum(lengths + ahead, LENGTH - 1)
        drafts, state = draft.propose(token_ids, positions, state)
        for row, position, tokens in zip(
            written, positions, ops.convert_to_numpy(drafts), strict=True
        ):
            expected = row[int(position) :][: draft.length].tolist()
            assert tokens.tolist()[: len(expected)] == expected


@one_cache
def test_generate_with_drafts(model, preprocessor, inputs, greedy):
    ids, end = greedy(model, inputs), preprocessor.tokenizer.end_token_id
    ends = [[*row.tolist(), end].index(end) for row in ids]
    texts = preprocessor.tokenizer
    texts = [texts.detokenize(row[:end].tolist()) for row, end in zip(ids, ends, strict=True)]
    small = make_model("primer", preprocessor, num_layers=1)
    for draft in ("ngram", small):
        model.compile(sampler="greedy", run_eagerly=True, draft=draft)
        assert model.generate(PROMPTS, max_length=LENGTH) == texts
    assert small not in model._flatten_layers(), "a draft is no part of the model"


@one_cache
@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_stepwise(model, inputs, greedy, monkeypatch, seconds):
    from primer_tf.models import stepwise_generation
    from primer_tf.models.stepwise_speculation import StepwiseSpeculation

    monkeypatch.setattr(stepwise_generation, "SECONDS", seconds)
    expected = greedy(model, inputs)
    model.compile(sampler="greedy", run_eagerly=True)
    decoding = SpeculativeDecoding(model, KnownText(expected, 0.3))
    ends = []
    for token_ids, end in StepwiseSpeculation(decoding)(inputs):
        np.testing.assert_array_equal(token_ids[:, :end], expected[:, :end])
        ends.append(end)
    assert ends[-1] == LENGTH and ends == sorted(set(ends)) and len(ends) > 2


@one_cache
def test_bad_drafts(model, preprocessor):
    with pytest.raises(UserError, match="Unknown draft 'bigram'; give 'ngram' or a model."):
        model.compile(sampler="greedy", draft="bigram")
    with pytest.raises(UserError, match="BeamSampler chooses among several texts and cannot use"):
        model.compile(sampler="beam", draft="ngram")
    other = make_model("primer", preprocessor, vocabulary_size=400)
    with pytest.raises(UserError, match="The draft has another vocabulary than the model"):
        model.compile(sampler="greedy", draft=other)
    short = make_model("primer", preprocessor, max_sequence_length=16)
    model.compile(sampler="greedy", draft=short)
    with pytest.raises(UserError, match="max_length 20 is beyond the model's 16 tokens"):
        model.generate("And", max_length=20)
    assert make_speculative_decoding(model, None) is None


@one_cache
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="others read the variables themselves")
def test_new_weights_of_the_draft_need_no_compilation(model, inputs, preprocessor):
    small = make_model("primer", preprocessor, num_layers=1)
    draft = ModelDraft(small, model)
    expected = generate(model, inputs)["token_ids"]
    for _ in range(2):
        np.testing.assert_array_equal(generate(model, inputs, draft)["token_ids"], expected)
        small.backbone.token_embedding.embeddings.assign(model.backbone.token_embedding.embeddings)
