"""The table of a run, read again when the run goes on."""

import pytest

from primer_tf.errors import UserError
from primer_tf.training.progress import COLUMNS, History


@pytest.fixture
def rows(tmp_path):
    """Those of a history of three steps in the test's folder."""
    rows = [{**dict.fromkeys(COLUMNS, 0.5), "step": step} for step in (1, 2, 3)]
    history = History(tmp_path)
    for row in rows:
        history.append(**row)
    return rows


def test_later_rows_are_dropped(tmp_path, rows):
    assert History(tmp_path, start_step=3).rows == rows
    assert History(tmp_path, start_step=2).rows == rows[:2]
    assert History(tmp_path).rows == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: b"\xff" + table,
        lambda table: table[:-10],
        lambda table: table.replace(b"accuracy", b"accurate"),
        lambda table: table.replace(b"0.5", b"O.5", 1),
        lambda table: table.replace(b"\n2,", b"\nnan,"),
        lambda table: table.replace(b"\n2,", b"\ninf,"),
        lambda table: table + b"x" * 200_000,
    ],
)
def test_damage(tmp_path, rows, damage):
    path = tmp_path / "history.csv"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="history.csv is damaged; delete it"):
        History(tmp_path, start_step=3)
