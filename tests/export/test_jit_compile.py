"""An export whose decoding XLA compiles answers as one that runs op by op."""

import numpy as np
import pytest

from primer_tf.export import export_saved_model
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


@pytest.fixture(scope="module")
def compiled(model, tmp_path_factory):
    return Client(export_saved_model(model, tmp_path_factory.mktemp("jit"), jit_compile=True))


def same(left, right):
    assert left.keys() == right.keys()
    for key, value in left.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, right[key], rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(value, right[key])


@pytest.mark.parametrize("settings", [{}, SAMPLED, {**SAMPLED, "stop": [["e"], [""], ["q"]]}])
def test_generate(client, compiled, settings):
    """Three rows run as four, and the look for stop strings comes after several steps."""
    expected = client("generate", prompts=PROMPTS, **settings)
    assert len(set(expected["new_tokens"])) > 1
    same(compiled("generate", prompts=PROMPTS, **settings), expected)


def test_default_signature(client, compiled):
    same(
        compiled("serving_default", prompts=PROMPTS[:1]),
        client("serving_default", prompts=PROMPTS[:1]),
    )


def test_steps(client, compiled, prompt_ids):
    ids, lengths = prompt_ids
    arguments = {
        "token_ids": ids[np.arange(3), lengths - 1],
        "positions": lengths - 1,
        "steps": 3,
        "num_alternatives": 2,
        "seen_ids": np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, -1),
        **{key: value for key, value in SAMPLED.items() if key != "max_new_tokens"},
    }
    outputs = []
    for each in (client, compiled):
        _, cache = prefill(each, ids, lengths, LENGTH - 5)
        outputs.append(each("decode", **arguments, **cache))
    for name in ("token_ids", "log_probabilities", "alternative_ids"):
        np.testing.assert_allclose(outputs[0][name], outputs[1][name], rtol=1e-4, atol=1e-5)
