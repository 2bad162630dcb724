"""Writes the results table of README.md from the recorded studies in `results/`.

`python -m benchmarks.results_table` replaces what stands between two marks in README.md.
"""

from pathlib import Path

from primer_tf.studies.results import StudyResults, study_results
from primer_tf.studies.study_file import read_study
from primer_tf.studies.tables import p_text

CHECKOUT = Path(__file__).parents[1]
README = CHECKOUT / "README.md"
RESULTS = CHECKOUT / "results"
STUDIES = ("kjv", "sotu", "kjv_constant", "sotu_constant", "scaling")
START, END = "<!-- results: python -m benchmarks.results_table -->", "<!-- end of results -->"


def results_table(folder: Path = RESULTS) -> str:
    """Returns the tables as Markdown, empty without any finished study of the baseline."""
    parts = []
    for name in STUDIES:
        study = read_study(folder / name)
        results = study_results(folder / name, study)
        table = _scaling(results) if study.kind == "scale" else _models(results)
        if table:
            seeds = f"{len(study.seeds)} seeds, 95% intervals"
            lines = ["| " + " | ".join(row) + " |" for row in table]
            lines.insert(1, "| " + " | ".join("---" for _ in table[0]) + " |")
            parts.append("\n".join([f"{study.title} ({seeds}; `results/{name}`):", "", *lines]))
    return "\n\n".join(parts)


def _models(results: StudyResults) -> list[list[str]]:
    if len(results.models) < 2:
        return []
    units = [u for u in ("flops", "seconds") if u in results.models[-1].speedups]
    names = {"flops": "speedup in FLOPs", "seconds": "speedup in seconds"}
    rows = [["model", "bits per byte", *(names[unit] for unit in units), "p"]]
    for model in results.models:
        factors = [str(model.speedups.get(unit, 1)) for unit in units]
        p = p_text(model.p_value).removeprefix("= ") if model.speedups else ""
        rows.append([model.name, model.bits_per_byte.format(3), *factors, p])
    return rows


def _scaling(results: StudyResults) -> list[list[str]]:
    if results.laws is None:
        return []
    rows = [["model", "exponent k", "savings b"]]
    for name, law in results.laws.laws.items():
        saved = results.laws.savings.get(name)
        rows.append([name, law.k.format(3), str(saved.constant) if saved else "1"])
    return rows


def replaced(text: str, table: str) -> str:
    """Returns a page with the table between its marks."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table}\n{END}{after}"


if __name__ == "__main__":
    page = README.read_text(encoding="utf-8")
    README.write_text(replaced(page, results_table()), encoding="utf-8")
