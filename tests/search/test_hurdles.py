"""Bands of equal expected compute, with hurdles that half pass."""

import itertools

from primer_tf.search.hurdles import LEAST, band_ends, thresholds


def test_every_band_takes_the_same_expected_compute():
    for hurdles in range(5):
        ends = band_ends(hurdles)
        assert len(ends) == hurdles + 1 and ends[-1] == 1
        lengths = [b - a for a, b in itertools.pairwise([0, *ends])]
        expected = [length * 0.5**band for band, length in enumerate(lengths)]
        assert max(expected) - min(expected) < 1e-12


def test_half_pass():
    losses = [(float(i), i / 2) if i < 5 else (float(i),) for i in range(10)]
    first, second = thresholds(losses, hurdles=2)
    assert sum(each[0] < first for each in losses) == 5
    assert second is None  # Fewer than LEAST came there.
    assert thresholds(losses[: LEAST - 1], 1) == [None]
