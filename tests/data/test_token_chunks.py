"""Packed chunks and batches against NumPy, T5's rows and each other."""

import itertools

import numpy as np
import pytest

from primer_tf.data import TextLength, TokenChunks
from primer_tf.data.document_tokenizer import TokenizedText
from primer_tf.data.shard import CHECKED, TOKENS, write_shard
from primer_tf.data.token_shards import TokenShards
from primer_tf.errors import UserError

SIZES = [5000, 1, 2048, 300, 4096]
IDS = np.random.default_rng(0).integers(3, 60_000, sum(SIZES))


@pytest.fixture(scope="module", params=["<u2", "<u4"])
def shards(tmp_path_factory, request):
    """The tokens above in shards of several sizes."""
    folder, records, start = tmp_path_factory.mktemp("shards"), [], 0
    folders = [folder / str(number) for number in range(len(SIZES))]
    for number, size in enumerate(SIZES):
        tokens = IDS[start : start + size].astype(request.param)
        text = TokenizedText(tokens, np.array([size]), TextLength(size, 1), b"")
        records.append(write_shard(folders[number], [text]))
        start += size
    return TokenShards(folders, records, request.param)


def test_slices_across_shards(shards):
    assert len(shards) == len(IDS)
    bounds = [0, 1, 2047, 2048, 4999, 5000, 5001, 7049, 7050, len(IDS) - 1, len(IDS)]
    for start, stop in itertools.combinations(bounds, 2):
        np.testing.assert_array_equal(shards[start:stop], IDS[start:stop])
    assert shards[:5].dtype == np.int32 and len(shards[7:7]) == 0


def test_few_files_are_open(shards, monkeypatch):
    monkeypatch.setattr("primer_tf.data.token_shards.OPEN_FILES", 1)
    again = TokenShards(shards.folders, shards.records, shards.dtype)
    for _ in range(2):
        np.testing.assert_array_equal(again[:], IDS)
    assert again._open.cache_info().currsize == 1


def batches_of(tokens, steps, start=0, **where):
    chunks = TokenChunks(tokens, sequence_length=48)
    found = chunks.training_batches(8, seed=3, start_step=start, **where)
    return [next(found)[1] for _ in range(steps)]


def test_batches_from_disk_equal_those_from_memory(shards):
    expected = batches_of(IDS.astype(np.int32), 40)
    np.testing.assert_array_equal(batches_of(shards, 40), expected)


@pytest.mark.parametrize("num_hosts", [1, 2, 8])
def test_hosts_share_each_batch(shards, num_hosts):
    whole = batches_of(shards, 10)
    hosts = [batches_of(shards, 10, host=host, num_hosts=num_hosts) for host in range(num_hosts)]
    for step in range(10):
        np.testing.assert_array_equal(np.concatenate([host[step] for host in hosts]), whole[step])


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
def test_any_number_of_hosts_goes_on_at_any_step(shards, num_hosts):
    whole = batches_of(shards, 60)
    for start in (0, 1, 28, 29, 30, 57):  # an epoch ends in step 29
        for host in range(num_hosts):
            rows = slice(host * 8 // num_hosts, (host + 1) * 8 // num_hosts)
            (found,) = batches_of(shards, 1, start, host=host, num_hosts=num_hosts)
            np.testing.assert_array_equal(found, whole[start][rows])


def test_an_epoch_takes_every_chunk_once(shards):
    count = len(IDS) // 48
    rows = np.concatenate(batches_of(shards, -(-3 * count // 8)))
    expected = sorted(map(tuple, IDS[: count * 48].reshape(-1, 48)))
    orders = []
    for epoch in range(3):
        seen = rows[epoch * count : (epoch + 1) * count]
        assert sorted(map(tuple, seen)) == expected
        orders.append(seen.tolist())
    assert orders[0] != orders[1] != orders[2]
    # Seeds that are next to each other give orders that have nothing in common.
    other = TokenChunks(shards, 48).training_batches(8, seed=4)
    moved = np.concatenate([next(other)[1] for _ in range(count // 8)])
    assert np.mean((moved == rows[: len(moved)]).all(-1)) < 0.05
    assert np.mean((moved == rows[count : count + len(moved)]).all(-1)) < 0.05


def test_evaluation_reads_all_tokens_in_order(shards):
    chunks = TokenChunks(shards, 48)
    targets = np.concatenate([batch[1] for batch in chunks.evaluation_batches(7)])
    np.testing.assert_array_equal(targets.reshape(-1)[: len(IDS)], IDS)
    assert not targets.reshape(-1)[len(IDS) :].any()
    assert chunks.num_tokens == len(IDS) and chunks.sha256 == shards.sha256


def test_damage_is_found_where_it_is_read(shards):
    path = shards.folders[0] / TOKENS
    content = bytearray(path.read_bytes())
    content[(CHECKED + 5) * shards.dtype.itemsize] ^= 1
    path.write_bytes(content)
    try:
        again = TokenShards(shards.folders, shards.records, shards.dtype)
        np.testing.assert_array_equal(again[:CHECKED], IDS[:CHECKED])
        np.testing.assert_array_equal(again[2 * CHECKED :], IDS[2 * CHECKED :])
        for key in (slice(CHECKED, CHECKED + 1), slice(2 * CHECKED - 1, 2 * CHECKED)):
            with pytest.raises(UserError, match="0 is damaged at token 2,048; `primer prepare`"):
                again[key]
        path.write_bytes(content[:-1])
        with pytest.raises(UserError, match="damaged at token"):
            again[4999:5000]
    finally:
        content[(CHECKED + 5) * shards.dtype.itemsize] ^= 1
        path.write_bytes(content)
