"""The fuzz run of `make serve-fuzz`, in small."""

import pytest

from tests.serving.fuzz import run


@pytest.mark.slow
def test_fuzz():
    counts = run(300)
    assert not counts.lost + counts.wrong
    assert counts.requests.total() == 300 and counts.versions["swapped in"]
