"""An export that XLA compiles, and one with drafts, answer as one that runs op by op."""

import numpy as np
import pytest

from primer_tf.export import export_saved_model
from primer_tf.models.speculative_decoding import CREDIT_OF_STEP
from tests.export.conftest import LENGTH, PROMPTS, Client
from tests.export.test_stepwise import prefill

SAMPLED = {
    "temperature": [1.0, 0.0, 2.0],
    "top_k": [5, 0, 290],
    "top_p": [1.0, 1.0, 0.8],
    "seed": [7, 8, 9],
    "repetition_penalty": [1.0, 1.2, 1.0],
    "max_new_tokens": [5, 3, 12],
}


# A text that n-grams guess, beside others that they do not.
TEXTS = ["abcabcabcabc", *PROMPTS[:2]]
OPTIONS = {
    "XLA": {"jit_compile": True},
    "drafts": {"draft": "ngram"},
    "XLA and drafts": {"jit_compile": True, "draft": "ngram"},
}
LONG = [pytest.param(name, marks=[pytest.mark.slow] * ("drafts" in name)) for name in OPTIONS]


@pytest.fixture(scope="module", params=LONG)
def other(model, request, tmp_path_factory):
    return Client(
        export_saved_model(model, tmp_path_factory.mktemp("other"), **OPTIONS[request.param])
    )


def same(left, right):
    """Compares answers, of which the first may have more columns after the ends of all rows."""
    assert left.keys() == right.keys()
    for key, value in left.items():
        if value.ndim == 2:
            columns = right[key].shape[1]
            assert not value[:, columns:].any()
            value = value[:, :columns]
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, right[key], rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(value, right[key])


@pytest.mark.parametrize("settings", [{}, SAMPLED, {**SAMPLED, "stop": [["e"], [""], ["q"]]}])
def test_generate(client, other, settings):
    """Three rows run as four, and the look for stop strings comes after several steps."""
    expected = client("generate", prompts=TEXTS, **settings)
    assert len(set(expected["new_tokens"])) > 1
    same(other("generate", prompts=TEXTS, **settings), expected)


def test_default_signature(client, other):
    same(
        other("serving_default", prompts=PROMPTS[:1]),
        client("serving_default", prompts=PROMPTS[:1]),
    )


def test_steps(client, other):
    ids, lengths = np.tile([5, 6, 7], (3, 4)), np.array([12, 11, 10])
    arguments = {
        "token_ids": ids[np.arange(3), lengths - 1],
        "positions": lengths - 1,
        "steps": 3,
        "num_alternatives": 2,
        "seen_ids": np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, -1),
        **{key: value for key, value in SAMPLED.items() if key != "max_new_tokens"},
    }
    outputs = []
    for each in (client, other):
        _, cache = prefill(each, ids, lengths, LENGTH - 5)
        if "draft_credit" in each.signature("decode").inputs:
            cache["draft_credit"] = 3.0
        outputs.append(each("decode", **arguments, **cache))
    if "draft_credit" in outputs[1]:
        single = 3 * CREDIT_OF_STEP
        assert outputs[1]["draft_credit"] != pytest.approx(3.0 + single)  # Drafts were checked.
    for name in ("token_ids", "log_probabilities", "alternative_ids"):
        np.testing.assert_allclose(outputs[0][name], outputs[1][name], rtol=1e-4, atol=1e-5)
