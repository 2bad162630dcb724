"""Writes the results tables of README.md and docs/results.md from the studies in `results/`.

`python -m benchmarks.results_table` replaces what stands between two marks in each page.
"""

from pathlib import Path

from primer_tf.studies.results import StudyResults, study_results
from primer_tf.studies.study_file import read_study
from primer_tf.studies.tables import Table, ablation_table, p_text, scaling_table, size_table

CHECKOUT = Path(__file__).parents[1]
RESULTS = CHECKOUT / "results"
PAGES = {
    CHECKOUT / "README.md": ("kjv", "sotu"),
    CHECKOUT / "docs" / "results.md": (
        *("kjv", "sotu", "kjv_constant", "sotu_constant", "ablation", "scaling"),
    ),
}
START, END = "<!-- results: python -m benchmarks.results_table -->", "<!-- end of results -->"


def results_tables(names: tuple[str, ...], folder: Path = RESULTS) -> str:
    """Returns the tables of some studies as Markdown, empty without any finished run."""
    parts = []
    for name in names:
        study = read_study(folder / name)
        seeds = f"{len(study.seeds)} seeds, 95% intervals"
        tables = _tables(study_results(folder / name, study))
        if tables:
            parts.append(f"{study.title} ({seeds}; `results/{name}`):")
        for table in tables:
            lines = ["| " + " | ".join(row) + " |" for row in table]
            lines.insert(1, "| " + " | ".join("---" for _ in table[0]) + " |")
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _tables(results: StudyResults) -> list[Table]:
    if results.study.kind == "ablate":
        return [ablation_table(results)] if results.ablation else []
    if results.study.kind == "scale":
        laws = [scaling_table(results)] if results.laws else []
        return [*laws, size_table(results)] if results.by_size else laws
    return [_models(results)] if len(results.models) > 1 else []


def _models(results: StudyResults) -> Table:
    units = [u for u in ("flops", "seconds") if u in results.models[-1].speedups]
    names = {"flops": "speedup in FLOPs", "seconds": "speedup in seconds"}
    rows = [["model", "bits per byte", *(names[unit] for unit in units), "p"]]
    for model in results.models:
        factors = [str(model.speedups.get(unit, 1)) for unit in units]
        p = p_text(model.p_value).removeprefix("= ") if model.speedups else ""
        rows.append([model.name, model.bits_per_byte.format(3), *factors, p])
    return rows


def replaced(text: str, tables: str) -> str:
    """Returns a page with the tables between its marks."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{tables}\n{END}{after}"


if __name__ == "__main__":
    for path, names in PAGES.items():
        page = path.read_text(encoding="utf-8")
        path.write_text(replaced(page, results_tables(names)), encoding="utf-8")
