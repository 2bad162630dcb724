"""The fuzz run of `make serve-fuzz`, in small."""

from tests.serving.fuzz import run


def test_fuzz():
    counts = run(300)
    assert not counts.lost + counts.wrong
    assert counts.requests.total() == 300 and counts.versions["swapped in"]
