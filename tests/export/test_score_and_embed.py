"""`score` and `embed` against full passes of the Keras model."""

import math

import numpy as np

from tests.export.conftest import PROMPTS, log_probabilities

CONTINUATIONS = [" beginning", " light: and", " God"]


def test_score(model, client):
    outputs = client("score", prompts=PROMPTS, continuations=CONTINUATIONS)
    tokenizer = model.preprocessor.tokenizer
    for row, (prompt, continuation) in enumerate(zip(PROMPTS, CONTINUATIONS, strict=True)):
        start = tokenizer.start_token_id
        before = [start, *np.asarray(tokenizer(prompt)).tolist()]
        whole = [start, *np.asarray(tokenizer(prompt + continuation)).tolist()]
        same = next(i for i, (a, b) in enumerate(zip([*before, -1], whole, strict=False)) if a != b)
        table = log_probabilities(model, whole)[same - 1 : -1]
        scores = table[np.arange(len(whole) - same), whole[same:]]
        assert outputs["token_count"][row] == len(whole) - same
        np.testing.assert_allclose(outputs["log_likelihood"][row], scores.sum(), atol=1e-3)
        assert outputs["is_greedy"][row] == (table.argmax(-1) == whole[same:]).all()
        bits = -scores.sum() / math.log(2) / len(continuation.encode())
        np.testing.assert_allclose(outputs["bits_per_byte"][row], bits, rtol=1e-4)


def test_score_ids(model, id_client, prompt_ids):
    ids, lengths = prompt_ids
    outputs = id_client("score_ids", token_ids=ids, prompt_lengths=[1, 3, 1], lengths=lengths)
    for row, first in enumerate([1, 3, 1]):
        tokens = ids[row, : lengths[row]]
        table = log_probabilities(model, tokens)[first - 1 : -1]
        scores = table[np.arange(len(tokens) - first), tokens[first:]]
        np.testing.assert_allclose(outputs["log_likelihood"][row], scores.sum(), atol=1e-3)


def test_embed(model, client, id_client, prompt_ids):
    ids, lengths = prompt_ids
    outputs = client("embed", texts=PROMPTS)
    of_ids = id_client("embed_ids", token_ids=ids, lengths=lengths)
    for row, length in enumerate(lengths):
        x = ids[row : row + 1, :length]
        states = model.backbone({"token_ids": x, "padding_mask": np.ones_like(x)}).numpy()[0]
        for each in (outputs, of_ids):
            np.testing.assert_allclose(each["last"][row], states[-1], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(each["mean"][row], states[1:].mean(0), rtol=1e-4, atol=1e-4)
