"""Log likelihoods equal those of a full forward pass for every continuation."""

import keras
import numpy as np
import pytest
from keras import ops

from primer_tf.errors import UserError
from primer_tf.inference import LogLikelihood, cached_contexts, rolling_windows
from primer_tf.inference.length_bucket import length_bucket
from tests.models.small_models import make_gpt2_backbone, make_model

NATS = 1e-4
one_model = pytest.mark.parametrize("model", ["primer"], indirect=True)


def by_definition(model, context, continuation, max_length):
    """Returns log likelihood and greediness by one forward pass and a softmax in NumPy."""
    seen = np.array([[*context, *continuation][-max_length - 1 : -1]], "int32")
    first, length = seen.shape[1] - len(continuation), seen.shape[1]
    # JAX compiles every operation for every length: padding makes these fewer.
    padding = ((0, 0), (0, min(-length % 24, max_length - length)))
    mask = np.pad(np.ones_like(seen), padding)
    logits = model({"token_ids": np.pad(seen, padding), "padding_mask": mask})
    logits = ops.convert_to_numpy(logits).astype("float64")[0, first:length]
    largest = logits.max(axis=-1, keepdims=True)
    normalizer = np.log(np.exp(logits - largest).sum(axis=-1)) + largest[:, 0]
    log_probabilities = logits[np.arange(len(continuation)), continuation] - normalizer
    return log_probabilities.sum(), bool((logits.argmax(axis=-1) == continuation).all())


def ragged_requests(model, seed=0, lengths=(1, 2, 17)):
    """Returns contexts of different lengths with several continuations each, one of them greedy."""
    rng = np.random.default_rng(seed)

    def tokens(length):
        return rng.integers(3, 290, length).tolist()

    requests = []
    for length in lengths:
        context = [0, *tokens(length - 1)]
        seen = np.pad([context], ((0, 0), (0, 24 - length)))
        logits = model({"token_ids": seen, "padding_mask": np.arange(24)[None] < length})
        greedy = int(ops.convert_to_numpy(logits)[0, length - 1].argmax())
        requests += [(context, each) for each in ([greedy], tokens(1), tokens(4), tokens(6))]
    return [requests[i] for i in rng.permutation(len(requests))]


def check(score, model, requests):
    found = score(requests)
    expected = [by_definition(model, *request, score.max_length) for request in requests]
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], rtol=0, atol=NATS)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    return found


@pytest.mark.parametrize(
    "batch_size, lengths",
    [
        (3, (1, 2, 17)),
        *(pytest.param(n, (1, 2, 5, 9, 17), marks=pytest.mark.slow) for n in (3, 16)),
    ],
)
def test_scores_equal_the_definition(model, batch_size, lengths):
    requests = ragged_requests(model, lengths=lengths)
    found = check(LogLikelihood(model, batch_size), model, requests)
    assert {greedy for _, greedy in found} == {True, False}


@one_model
def test_contexts_run_once(model, monkeypatch):
    """There are more continuations than rows, and the context is longer than a chunk."""
    model_rows, fill_cache = [], type(model)._fill_cache
    monkeypatch.setattr(
        type(model),
        "_fill_cache",
        lambda self, token_ids, length: (
            model_rows.append((token_ids.shape[0], int(length))),
            fill_cache(self, token_ids, length),
        )[1],
    )
    model.run_eagerly = True
    rng = np.random.default_rng(1)
    contexts = [rng.integers(3, 290, 80).tolist() for _ in range(2)]
    requests = [(context, [i, i + 1]) for i in range(3, 12) for context in contexts]
    try:
        check(LogLikelihood(model, batch_size=4), model, requests)
    finally:
        model.run_eagerly = False
    assert model_rows == [(2, 79)]


@one_model
def test_few_shapes_are_compiled(model):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow counts what it traces.")
    rng = np.random.default_rng(2)
    score = LogLikelihood(model, batch_size=4)
    requests = [
        (rng.integers(3, 290, n).tolist(), rng.integers(3, 290, 1 + n % 4).tolist())
        for n in range(33, 65)
    ]
    check(score, model, requests)
    # The lengths are rounded to 48, 64 and 96, and those of continuations to 1, 2, 3 and 4.
    assert score._contexts._prefill.experimental_get_tracing_count() <= 3
    assert score._contexts._extend.experimental_get_tracing_count() <= 3 * 4


def test_long_contexts_lose_their_start(preprocessor):
    """At the longest length there is no room for padding, so tokens of the context run again."""
    model = make_model("evolved", preprocessor, max_sequence_length=20)
    rng = np.random.default_rng(3)
    score = LogLikelihood(model, batch_size=4)
    requests = [
        (rng.integers(3, 290, m).tolist(), rng.integers(3, 290, n).tolist())
        for m, n in [(19, 1), (20, 1), (21, 1), (19, 2), (18, 5), (12, 13), (40, 20), (3, 17)]
    ]
    check(score, model, requests)
    assert score.truncated == 4
    with pytest.raises(UserError, match="has 21 tokens, more than the 20"):
        score([([0], [5] * 21)])
    with pytest.raises(UserError, match="has no tokens"):
        score([([], [5])])
    assert score([([0], [])]) == [(0.0, True)]


@one_model
def test_long_continuations_run_in_slices(model, monkeypatch):
    monkeypatch.setattr(cached_contexts, "SLICE", 5)
    check(LogLikelihood(model, batch_size=7), model, ragged_requests(model, seed=4))


def test_experts_do_not_drop_tokens(preprocessor):
    """A score is the same alone and in a batch, however small the experts are."""
    model = make_model("switch", preprocessor, eval_capacity_factor=0.25)
    requests = ragged_requests(model, seed=5)
    together = LogLikelihood(model)(requests)
    alone = [LogLikelihood(model, batch_size=1)([request])[0] for request in requests[:3]]
    for one, other in zip(alone, together, strict=False):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=NATS)


@one_model
@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 17, 30])
def test_rolling_is_the_sum_over_windows(model, length):
    text = np.random.default_rng(length).integers(3, 290, length).tolist()
    score = LogLikelihood(model, max_length=8)
    windows = list(rolling_windows(text, 0, 8))
    assert [token for _, continuation in windows for token in continuation] == text
    tokens = [0, *text]
    position = 1
    for context, continuation in windows:
        end = position + len(continuation)
        assert [*context, *continuation] == tokens[end - len(context) - len(continuation) : end]
        assert len(context) + len(continuation) == min(9, length + 1)
        position = end
    expected = sum(by_definition(model, *window, 8)[0] for window in windows)
    assert score.rolling([text], start_id=0)[0] == pytest.approx(expected, abs=NATS)
    assert score.truncated == 0


class TestOtherModels:
    """Models of KerasHub have no cache that we know, but the same scores."""

    @pytest.fixture(scope="class")
    def gpt2(self):
        import keras_hub

        return keras_hub.models.GPT2CausalLM(make_gpt2_backbone(300, 24))

    def test_scores_equal_the_definition(self, gpt2):
        score = LogLikelihood(gpt2, batch_size=4)
        assert score.max_length == 24
        assert score._contexts._states is gpt2.backbone
        check(score, gpt2, ragged_requests(gpt2))

    def test_another_head(self, gpt2):
        """Without knowing the head, all logits of a batch are computed."""
        model = keras.Model(gpt2.input, gpt2.output * 0.5)
        model.backbone, model.preprocessor = gpt2.backbone, None
        score = LogLikelihood(model, batch_size=4)
        assert score._contexts._states is model
        check(score, model, ragged_requests(model))


def test_length_buckets():
    buckets = [length_bucket(n, 100) for n in range(1, 101)]
    assert sorted(set(buckets)) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100]
    assert all(n <= bucket <= max(n + 1, n * 1.5) for n, bucket in enumerate(buckets, 1))
