"""README's table is that of the recorded studies."""

import shutil

import pytest

from benchmarks import results_table
from benchmarks.results_table import END, README, RESULTS, START
from primer_tf.studies.run_study import run_studies
from primer_tf.studies.study_file import read_study
from tests.studies.fake_runs import FakeRuns, start


def test_readme_has_the_recorded_results():
    page = README.read_text(encoding="utf-8")
    assert START in page and END in page
    message = "run `python -m benchmarks.results_table`"
    assert results_table.replaced(page, results_table.results_table()) == page, message


@pytest.mark.slow
def test_a_table_of_recorded_studies(tmp_path):
    for name in results_table.STUDIES:
        shutil.copytree(RESULTS / name, tmp_path / name, ignore=shutil.ignore_patterns("runs"))
        study = read_study(tmp_path / name)
        folder = start(study, tmp_path / name)
        run_studies([folder], lambda line: None, FakeRuns(study))
    table = results_table.results_table(tmp_path)
    assert table.count("| vanilla | ") == 3 and table.count("savings b") == 1
    page = f"before\n{START}\nold\n{END}\nafter"
    assert results_table.replaced(page, table) == f"before\n{START}\n{table}\n{END}\nafter"


def test_definitions_in_results_are_good():
    for path in RESULTS.glob("*/study.json"):
        assert read_study(path.parent).runs({"vanilla": 1.0})
