"""Every wrong value of a request has one sentence that names it; the model answers on."""

import numpy as np
import pytest

from tests.export.conftest import LENGTH

GENERATE = [
    ({"prompts": []}, "prompts is empty; give one or more"),
    ({"prompts": ["And", ""]}, "prompts[1] is empty; give some text"),
    ({"prompts": [b"\xff"]}, "prompts[0] is not UTF-8 text"),
    ({"prompts": [b"a\x00b"]}, "prompts[0] contains a NUL byte"),
    ({"prompts": ["And God said " * 20]}, f"at most {LENGTH - 1} have room; shorten it"),
    ({"temperature": [-1.0]}, "temperature[0] is -1, but must be a number from 0 on"),
    ({"temperature": [float("nan")]}, "temperature[0] is nan"),
    ({"temperature": [float("inf")]}, "temperature[0] is inf"),
    ({"top_k": [-1]}, "top_k[0] is -1, but must be from 0 to the 320 tokens there are"),
    ({"top_k": [321]}, "top_k[0] is 321"),
    ({"top_p": [0.0]}, "top_p[0] is 0, but must be above 0 and at most 1"),
    ({"top_p": [1.5]}, "top_p[0] is 1.5"),
    ({"repetition_penalty": [0.0]}, "repetition_penalty[0] is 0, but must be a number above 0"),
    ({"seed": [-2]}, "seed[0] is -2"),
    ({"max_new_tokens": [0]}, "max_new_tokens[0] is 0, but must be from 1 to"),
    ({"max_new_tokens": [10**9]}, "max_new_tokens[0] is 1000000000"),
    ({"temperature": [0.0, 0.0, 0.0]}, "temperature has 3 rows for a batch of 1"),
    ({"stop": [["a"], ["b"], ["c"]]}, "stop has 3 rows for a batch of 1"),
]


@pytest.mark.parametrize("values, message", GENERATE)
def test_generate(client, values, message):
    assert message in client.error("generate", **{"prompts": ["And"], **values})
    if "prompts" in values:
        assert message in client.error("serving_default", **values)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"token_ids": np.zeros((0, 2))}, "token_ids is empty"),
        ({"token_ids": [[0, 320]]}, "token_ids[0] has an id outside the vocabulary"),
        ({"token_ids": [[0, -1]]}, "token_ids[0] has an id outside the vocabulary"),
        ({"lengths": [0]}, "lengths[0] is 0, but must be from 1 to the 2 ids of a row"),
        ({"lengths": [3]}, "lengths[0] is 3"),
        (
            {"token_ids": np.ones((1, LENGTH)), "lengths": [LENGTH]},
            f"but at most {LENGTH - 1} have room",
        ),
    ],
)
def test_generate_ids(id_client, values, message):
    given = {"token_ids": [[0, 5]], "lengths": [2], **values}
    assert message in id_client.error("generate_ids", **given)


def test_score_and_embed(client, id_client):
    score = {"prompts": ["And"], "continuations": [" God"]}
    assert "continuations[0] is empty" in client.error("score", **{**score, "continuations": [""]})
    assert "continuations has 2 rows" in client.error(
        "score", **{**score, "continuations": ["a", "b"], "prompts": ["a", "b", "c"]}
    )
    assert "texts is empty" in client.error("embed", texts=[])
    wrong = {"token_ids": [[0, 5]], "prompt_lengths": [2], "lengths": [2]}
    assert "prompt_lengths[0] is 2, but must be from 1 to below" in id_client.error(
        "score_ids", **wrong
    )


def test_steps(id_client, prompt_ids):
    ids, lengths = prompt_ids
    message = id_client.error("prefill", token_ids=ids, lengths=lengths, cache_length=3)
    assert "cache_length is 3, but must be from the" in message
    cache = id_client("prefill", token_ids=ids, lengths=lengths, cache_length=LENGTH)
    del cache["logits"]
    step = {"token_ids": [5, 5, 5], "positions": lengths, **cache}
    message = id_client.error("decode_step", **{**step, "positions": [1, LENGTH, 1]})
    assert f"positions[1] is {LENGTH}, but the cache has room for {LENGTH} positions" in message
    message = id_client.error("decode_step", **{**step, "positions": [1, 1]})
    assert "token_ids, positions and the cache differ in their rows" in message
    message = id_client.error("decode_step", **{**step, "token_ids": [5, 999, 5]})
    assert "token_ids[1] has an id outside the vocabulary" in message
    assert np.isfinite(id_client("decode_step", **step)["logits"]).all()
