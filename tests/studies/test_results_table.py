"""The tables of README and docs/results.md are those of the recorded studies."""

import shutil

import pytest

from benchmarks import results_table
from benchmarks.results_table import END, PAGES, RESULTS, START
from primer_tf.studies.run_study import run_studies
from primer_tf.studies.study_file import read_study
from tests.studies.fake_runs import FakeRuns, start


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_the_recorded_results(path):
    page = path.read_text(encoding="utf-8")
    assert START in page and END in page
    message = "run `python -m benchmarks.results_table`"
    assert results_table.replaced(page, results_table.results_tables(PAGES[path])) == page, message


@pytest.mark.slow
def test_tables_of_recorded_studies(tmp_path):
    names = max(PAGES.values(), key=len)
    for name in names:
        shutil.copytree(RESULTS / name, tmp_path / name, ignore=shutil.ignore_patterns("runs"))
        study = read_study(tmp_path / name)
        folder = start(study, tmp_path / name)
        run_studies([folder], lambda line: None, FakeRuns(study))
    tables = results_table.results_tables(names, tmp_path)
    assert tables.count("\n| vanilla | ") == 5 and tables.count("savings b") == 1
    page = f"before\n{START}\nold\n{END}\nafter"
    assert results_table.replaced(page, tables) == f"before\n{START}\n{tables}\n{END}\nafter"


def test_definitions_in_results_are_good():
    for path in RESULTS.glob("*/study.json"):
        assert read_study(path.parent).runs({"vanilla": 1.0})
