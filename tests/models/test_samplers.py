"""KerasHub's samplers with our cached decoding equal NumPy on full forward passes."""

import keras_hub
import numpy as np
import pytest
from keras import ops
from scipy import stats

from tests.models.small_models import make_model

PROMPT = [0, 17, 5, 290, 41]
DRAWS = 6000


@pytest.fixture(scope="module")
def primer():
    return make_model("primer", None)


def log_probs(model, token_ids):
    """Returns log probabilities `[B, T, V]` of the next tokens, from a full forward pass."""
    token_ids = np.asarray(token_ids)
    logits = model({"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)})
    logits = ops.convert_to_numpy(logits).astype("float64")
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def generate(model, sampler, prompts, new):
    """Returns `[B, new]` generated ids."""
    model.compile(sampler=sampler, jit_compile=False)
    prompts = np.asarray(prompts)
    inputs = {
        "token_ids": np.pad(prompts, ((0, 0), (0, new))),
        "padding_mask": np.pad(np.ones_like(prompts), ((0, 0), (0, new))),
    }
    inputs = {key: ops.convert_to_tensor(value) for key, value in inputs.items()}
    outputs = model.make_generate_function()(inputs, stop_token_ids=None)
    return ops.convert_to_numpy(outputs["token_ids"])[:, prompts.shape[1] :]


def keep_top_k(p, k):
    return np.where(p >= np.sort(p)[-k], p, 0.0)


def keep_top_p(p, share):
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]
    kept = np.zeros_like(p)
    kept[order[before <= share]] = p[order[before <= share]]
    return kept


@pytest.mark.parametrize(
    ("sampler", "filter"),
    [
        (lambda **kwargs: keras_hub.samplers.RandomSampler(**kwargs), lambda p: p),
        (
            lambda **kwargs: keras_hub.samplers.TopKSampler(k=7, **kwargs),
            lambda p: keep_top_k(p, 7),
        ),
        (
            lambda **kwargs: keras_hub.samplers.TopPSampler(p=0.6, **kwargs),
            lambda p: keep_top_p(p, 0.6),
        ),
    ],
    ids=["random", "top_k", "top_p"],
)
def test_frequencies_are_those_of_the_softmax(primer, sampler, filter):
    """Chi-square test on many rows of a batch, with temperature and truncation."""
    expected = np.exp(log_probs(primer, [PROMPT])[0, -1] / 1.7)
    expected = filter(expected / expected.sum())
    expected = expected / expected.sum() * DRAWS
    drawn = generate(primer, sampler(temperature=1.7, seed=3), [PROMPT] * DRAWS, 1)[:, 0]
    counts = np.bincount(drawn, minlength=expected.size)
    assert counts[expected == 0].sum() == 0, "a token that truncation excludes was drawn"
    often = expected >= 5
    observed, wanted = counts[often], expected[often]
    if (~often).any() and expected[~often].sum() > 0:
        observed = np.append(observed, counts[~often].sum())
        wanted = np.append(wanted, expected[~often].sum())
    assert len(wanted) > 3, "too few tokens to tell distributions apart"
    assert stats.chisquare(observed, wanted).pvalue > 0.001


def test_beam_search_finds_the_best_two_tokens(primer):
    """The truth is the best of all pairs, which for some prompts is not the greedy pair."""
    prompts = np.random.default_rng(5).integers(3, 300, (6, 4))
    best, greedy = [], []
    for prompt in prompts:
        first = log_probs(primer, [prompt])[0, -1]
        extended = [[*prompt, token] for token in range(len(first))]
        both = first[:, None] + log_probs(primer, extended)[:, -1]
        best.append(np.unravel_index(both.argmax(), both.shape))
        greedy.append((first.argmax(), both[first.argmax()].argmax()))
    assert sum(b != g for b, g in zip(best, greedy, strict=True)) >= 2, "greedy must fail"
    found = generate(primer, keras_hub.samplers.BeamSampler(num_beams=100), prompts, 2)
    assert found.tolist() == [list(map(int, pair)) for pair in best]


@pytest.mark.slow
def test_contrastive_search_by_definition(primer):
    """It selects probable tokens whose hidden state does not resemble an earlier one."""
    k, alpha = 6, 0.7
    token_ids = list(PROMPT)
    for _ in range(5):
        probabilities = np.exp(log_probs(primer, [token_ids])[0, -1])
        candidates = np.argsort(-probabilities)[:k]
        extended = np.array([[*token_ids, token] for token in candidates])
        states = primer.backbone({"token_ids": extended, "padding_mask": np.ones_like(extended)})
        states = ops.convert_to_numpy(states).astype("float64")
        states /= np.linalg.norm(states, axis=-1, keepdims=True)
        similarity = np.einsum("ktc,kc->kt", states[:, :-1], states[:, -1]).max(axis=1)
        scores = (1 - alpha) * probabilities[candidates] - alpha * similarity
        token_ids.append(int(candidates[scores.argmax()]))
    sampler = keras_hub.samplers.ContrastiveSampler(k=k, alpha=alpha)
    assert generate(primer, sampler, [PROMPT], 5)[0].tolist() == token_ids[len(PROMPT) :]
