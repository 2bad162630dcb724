"""The page of a search."""

import re
from html.parser import HTMLParser

import pytest

from primer_tf.errors import UserError
from primer_tf.programs import primer_ez, transformer
from primer_tf.search.config import FILE, SearchConfig
from primer_tf.search.fingerprint import fingerprint
from primer_tf.search.individual import Individual, Outcome
from primer_tf.search.lineage import best_so_far, lineage
from primer_tf.search.page import write_page
from primer_tf.search.record import SearchRecord


def individual(number, parent, loss, edit="an edit", algorithm="evolution", program=None):
    program = program or transformer()
    return Individual(
        number,
        algorithm,
        parent,
        edit,
        program.to_json(),
        fingerprint(program),
        Outcome("trained" if loss < 5 else "stopped", loss, (loss,), spent=0.5),
    )


FAMILY = [
    individual(0, None, 4.0, "the start"),
    individual(1, 0, 5.5),
    individual(2, 0, 3.75, "insert <square>"),
    individual(3, 2, 3.8),
    individual(4, 2, 3.5, "insert depthwise_conv_3x1", program=primer_ez()),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / FILE).write_text(SearchConfig(data="demo").to_json())
    record = SearchRecord(tmp_path)
    for each in [*FAMILY, individual(0, None, 4.2, algorithm="random")]:
        record.add(each)
    record.close()
    return tmp_path


def test_lineage_and_best_so_far():
    assert [each.number for each in lineage(FAMILY, FAMILY[4])] == [0, 2, 4]
    assert best_so_far(FAMILY) == ([0.5, 1.5, 2.0, 2.5], [4.0, 3.75, 3.75, 3.5])


def test_the_page(folder):
    text = write_page(folder).read_text(encoding="utf-8")
    HTMLParser().feed(text)
    assert text.count("<svg") == 3
    for words in ("insert &lt;square&gt;", "+0.2500", "depthwise_conv_3x1(c)", "3.5000", "random"):
        assert words in text, words
    # The compute and the best loss of both searches.
    for row in (("2.5", "3.5000"), ("0.5", "4.2000")):
        assert "".join(f'<td class="number">{cell}' for cell in row) in text, row
    # It needs nothing else.
    assert not re.search(r'(src|href)="http', text) and "<script" not in text
    assert write_page(folder).read_text(encoding="utf-8") == text


def test_nothing_to_show(tmp_path):
    with pytest.raises(UserError, match="There is no search in"):
        write_page(tmp_path)
    (tmp_path / FILE).write_text(SearchConfig(data="demo").to_json())
    with pytest.raises(UserError, match="fully trained yet"):
        write_page(tmp_path)


def test_a_damaged_record(folder):
    (folder / "individuals.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="is damaged"):
        write_page(folder)
    (folder / FILE).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        write_page(folder)
