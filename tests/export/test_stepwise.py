"""`prefill`, `decode_step` and `decode`: a client keeps the cache and moves rows between steps."""

import numpy as np
import tensorflow as tf

from tests.export.conftest import LENGTH

END = 1


def prefill(client, ids, lengths, room=LENGTH):
    outputs = client("prefill", token_ids=ids, lengths=lengths, cache_length=room)
    return outputs.pop("logits"), outputs


def test_steps_equal_generate(id_client, prompt_ids):
    ids, lengths = prompt_ids
    expected = id_client("generate_ids", token_ids=ids, lengths=lengths)["token_ids"]
    logits, cache = prefill(id_client, ids, lengths)
    positions = lengths.copy()
    steps = LENGTH - lengths.max()
    for step in range(steps):
        tokens = logits.argmax(-1)
        np.testing.assert_array_equal(tokens, expected[:, step])
        outputs = id_client("decode_step", token_ids=tokens, positions=positions, **cache)
        logits, cache = outputs.pop("logits"), outputs
        positions += 1


def test_rows_join_and_leave(id_client, prompt_ids):
    """Two rows run; one leaves, and a row of another length takes its place."""
    ids, lengths = prompt_ids
    expected = id_client("generate_ids", token_ids=ids, lengths=lengths)["token_ids"]
    logits, caches = [], []
    for row in range(3):
        first, cache = prefill(
            id_client, ids[row : row + 1, : lengths[row]], lengths[row : row + 1]
        )
        logits.append(first)
        caches.append(cache)
    state = {row: (logits[row][0].argmax(), lengths[row], caches[row]) for row in range(3)}
    texts = {row: [state[row][0]] for row in range(3)}
    for pair in ((0, 1), (0, 2), (2, 1), (1, 2), (0, 1)):
        joined = {key: np.concatenate([state[row][2][key] for row in pair]) for key in caches[0]}
        outputs = id_client(
            "decode_step",
            token_ids=[state[row][0] for row in pair],
            positions=[state[row][1] for row in pair],
            **joined,
        )
        chosen = outputs.pop("logits").argmax(-1)
        for place, row in enumerate(pair):
            cache = {key: value[place : place + 1] for key, value in outputs.items()}
            state[row] = (chosen[place], state[row][1] + 1, cache)
            texts[row].append(chosen[place])
    for row, tokens in texts.items():
        np.testing.assert_array_equal(tokens, expected[row, : len(tokens)])


def test_decode_chooses_in_the_graph(id_client, prompt_ids):
    """Several steps at once give what `generate` gives, with the same seeds."""
    ids, lengths = prompt_ids
    settings = {
        "temperature": [1.0, 0.0, 1.0],
        "top_k": [4, 0, 0],
        "top_p": [1.0, 1.0, 0.9],
        "repetition_penalty": [1.0, 1.0, 1.2],
        "seed": [4, 5, 6],
    }
    expected = id_client("generate_ids", token_ids=ids, lengths=lengths, **settings)
    _, cache = prefill(id_client, ids, lengths)
    last = ids[np.arange(3), lengths - 1]
    seen = np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, -1)
    outputs = id_client(
        "decode",
        token_ids=last,
        positions=lengths - 1,
        steps=3,
        num_alternatives=2,
        seen_ids=seen,
        **settings,
        **cache,
    )
    np.testing.assert_array_equal(outputs["token_ids"], expected["token_ids"][:, :3])
    np.testing.assert_allclose(
        outputs["log_probabilities"], expected["token_log_probabilities"][:, :3], atol=1e-4
    )
    top = outputs["alternative_log_probabilities"]
    assert top.shape == (3, 3, 2) and (top[..., 0] >= top[..., 1]).all()
    greedy = outputs["alternative_ids"][1, :, 0]
    chosen = outputs["token_ids"][1]
    is_new = np.cumprod(np.append(1, chosen[:-1] != END))  # the pad token follows the end
    np.testing.assert_array_equal(greedy * is_new, chosen)


def test_a_clients_cache_is_not_written(id_client, prompt_ids):
    ids, lengths = prompt_ids
    _, cache = prefill(id_client, ids, lengths)
    kept = {key: tf.constant(value) for key, value in cache.items()}
    inputs = {"token_ids": tf.constant([5, 6, 7]), "positions": tf.constant(lengths, tf.int32)}
    step = id_client._loaded.signatures["decode_step"]
    first, again = (step(**inputs, **kept)["logits"].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for key, value in cache.items():
        np.testing.assert_array_equal(kept[key].numpy(), value)
