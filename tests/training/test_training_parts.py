"""Schedule, loss, packed data and vocabulary against independent arithmetic."""

import numpy as np
import pytest

from primer_tf.data import TokenChunks
from primer_tf.errors import UserError
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerTokenizer
from primer_tf.optimizers import RsqrtSchedule
from tests.sample_text import SENTENCES


def test_schedule_by_hand():
    schedule = RsqrtSchedule()
    rates = [float(schedule(step)) for step in (0, 9_999, 40_000)]
    assert rates == pytest.approx([0.01, 0.01, 0.005])
    ramp = RsqrtSchedule(warmup_steps=100, scale=2.0, ramp_up_steps=10)
    assert [float(ramp(s)) for s in (0, 4, 9, 400)] == pytest.approx([0.02, 0.1, 0.2, 0.1])


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_loss(z_loss):
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((2, 4, 7))
    targets = rng.integers(0, 7, (2, 4))
    weights = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], "float64")
    log_z = np.log(np.exp(logits).sum(-1))
    losses = log_z - np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    losses += z_loss * log_z**2
    expected = (losses * weights).sum() / weights.sum()
    actual = NextTokenLoss(z_loss)(targets, logits.astype("float32"), sample_weight=weights)
    assert float(actual) == pytest.approx(expected, rel=1e-5)


def test_uniform_loss_is_the_log_of_the_vocabulary():
    loss = NextTokenLoss()(np.zeros((2, 5)), np.zeros((2, 5, 100), "float32"))
    assert float(loss) == pytest.approx(np.log(100))


def test_chunks_by_hand():
    chunks = TokenChunks(np.arange(10, 21), sequence_length=4, start_token_id=0)
    (inputs, targets, weights), *rest = list(chunks.evaluation_batches(2))
    np.testing.assert_array_equal(targets, [[10, 11, 12, 13], [14, 15, 16, 17]])
    np.testing.assert_array_equal(inputs["token_ids"], [[0, 10, 11, 12], [0, 14, 15, 16]])
    assert len(rest) == chunks.evaluation_steps(2) - 1 == 1
    np.testing.assert_array_equal(rest[0][2], [[1, 1, 1, 0], [0, 0, 0, 0]])
    assert weights.all()


def test_an_epoch_takes_every_chunk_once_and_restarts_anywhere():
    chunks = TokenChunks(np.arange(40), sequence_length=4)
    stream = chunks.training_batches(batch_size=3, seed=1)
    batches = [next(stream)[1] for _ in range(20)]
    seen = np.concatenate(batches)[:, 0] // 4
    for epoch in range(6):
        assert sorted(seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:20]), "each epoch has an order of its own"
    for start in (1, 3, 7, 11):
        again = chunks.training_batches(batch_size=3, seed=1, start_step=start)
        np.testing.assert_array_equal(next(again)[1], batches[start])


def test_a_batch_beyond_memory_is_refused_at_once():
    with pytest.raises(MemoryError):
        next(TokenChunks(np.arange(40), sequence_length=4).training_batches(2**44, seed=1))


def test_documents_are_concatenated_with_end_tokens(vocabulary):
    tokenizer = PrimerTokenizer(vocabulary)
    chunks = TokenChunks.from_documents(SENTENCES, tokenizer, 8)
    rows = [np.asarray(tokenizer(sentence)).tolist() for sentence in SENTENCES]
    assert chunks.tokens.tolist() == [i for row in rows for i in (*row, tokenizer.end_token_id)]


def test_too_short_a_text():
    chunks = TokenChunks([1, 2, 3], sequence_length=8)
    with pytest.raises(UserError, match="3 tokens do not fill one sequence of 8"):
        next(chunks.training_batches(1, seed=0))
    ((_, targets, weights),) = chunks.evaluation_batches(1)
    assert (targets * weights).tolist() == [[1, 2, 3, 0, 0, 0, 0, 0]]
    with pytest.raises(UserError, match="no text"):
        TokenChunks([], sequence_length=8)


def test_vocabulary_is_lossless(vocabulary):
    tokenizer = PrimerTokenizer(vocabulary)
    text = "Two  spaces, a tab\t, a line\nbreak, accents éü and 漢字 and 🜚."
    assert tokenizer.detokenize(tokenizer(text)) == text
    assert (tokenizer.pad_token_id, tokenizer.end_token_id, tokenizer.start_token_id) == (0, 1, 0)


def test_ids_beyond_the_vocabulary_are_unknown(vocabulary):
    tokenizer = PrimerTokenizer(vocabulary)
    ids = [*np.asarray(tokenizer("And God")).tolist(), 319]
    assert tokenizer.detokenize(ids).startswith("And God")
    assert "⁇" in tokenizer.detokenize(ids)
