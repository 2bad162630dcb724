"""The report of a study: a page that needs nothing else, with its pictures and tables as files."""

import base64
import json
import shlex
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from primer_tf.files import atomic_write
from primer_tf.studies.estimate import LARGEST
from primer_tf.studies.figures import draw_all, png
from primer_tf.studies.results import StudyResults, study_results
from primer_tf.studies.run_record import DIVERGED
from primer_tf.studies.study_file import read_study
from primer_tf.studies.tables import (
    Table,
    ablation_table,
    model_table,
    p_text,
    point_rows,
    scaling_table,
    size_table,
    target_table,
    to_csv,
)

PAGE = "report.html"
COMMAND = "command.txt"
HEADINGS = {
    "curves": "Learning curves",
    "speedups": "Speedup",
    "ablation": "Single modifications",
    "frontier": "Compute-optimal frontier",
    "sizes": "Speedup at each size",
}
EXPLANATIONS = {
    "curves": "Mean over the seeds; the bands hold all seeds. The dashed line is the baseline's "
    "final loss.",
    "speedups": "The compute with which the baseline reaches its own final loss, over the compute "
    "with which the model reaches that loss. Intervals are from a bootstrap over seeds. p is that "
    "of a final loss at or below the baseline's (one-sided Welch test).",
    "ablation": "Each modification, inserted in the vanilla Transformer and taken out of Primer. "
    "Above 1 it helps.",
    "frontier": "Every point is a run's loss. The lines are the least loss at each compute on the "
    "fitted surface E + A N^-alpha + B D^-beta; the bands are 95% intervals.",
    "sizes": "The speedup factor in FLOPs, each size against the baseline of the same size.",
}


def write_report(folder: Path) -> StudyResults:
    """Writes the report of a study: `report.html`, and its pictures and tables as PNG and CSV.

    Args:
        folder: The folder of the study.

    Returns:
        What the report shows.

    Raises:
        UserError: The study or a record is damaged.
    """
    study = read_study(folder)
    results = study_results(folder, study)
    pictures = {name: png(figure) for name, figure in draw_all(results).items()}
    tables = all_tables(results)
    for name, image in pictures.items():
        atomic_write(folder / f"{name}.png", image)
    for name, table in tables.items():
        atomic_write(folder / f"{name}.csv", to_csv(table))
    atomic_write(folder / "points.csv", to_csv(point_rows(results)))
    page = resources.files("primer_tf.studies").joinpath(PAGE).read_text(encoding="utf-8")
    body = "\n".join(_sections(folder, results, pictures, tables))
    atomic_write(folder / PAGE, Template(page).substitute(title=escape(study.title), body=body))
    return results


def all_tables(results: StudyResults) -> dict[str, Table]:
    """Returns the tables that the results allow, by name."""
    tables: dict[str, Table] = {}
    if results.models:
        tables["models"] = model_table(results)
    if results.ablation:
        tables["ablation"] = ablation_table(results)
    if results.laws is not None:
        tables["scaling"] = scaling_table(results)
        tables["targets"] = target_table(results)
    if results.by_size:
        tables["sizes"] = size_table(results)
    return tables


def summary(results: StudyResults) -> list[str]:
    """Returns the answer of a study in a few sentences."""
    baseline, lines = results.study.baseline, []
    if results.study.kind == "compare":
        for model in results.models:
            if model.name == baseline:
                continue
            found = model.speedups["flops"]
            if found.factor is None:
                lines.append(
                    f"{model.name} did not reach the final loss of {baseline} within its budget "
                    f"(speedup in FLOPs below {found.bound:.2f})."
                )
            else:
                lines.append(
                    f"{model.name} reaches the final loss of {baseline} with {found.factor} times "
                    f"less compute in FLOPs (p {p_text(model.p_value)})."
                )
    for name, by_size in results.by_size.items():
        factors = [each.factor.value for each in by_size.at.values() if each.factor]
        if factors and by_size.growth is not None:
            lines.append(
                f"{name} reaches the final losses of {baseline} of the same size with "
                f"{min(factors):.2f} to {max(factors):.2f} times less compute; the factor grows "
                f"with the compute to the power of {by_size.growth.format(3)}."
            )
    laws = results.laws
    savings = laws.savings if laws else {}
    equality = laws.equality if laws else None
    for name, saved in savings.items():
        if saved.constant.high is None or saved.constant.high > LARGEST:
            lines.append(
                f"The fitted surfaces do not tell how much less compute {name} needs than "
                f"{baseline} at the best sizes."
            )
            continue
        lines.append(
            f"At the best sizes {name} needs {saved.constant} times less compute than {baseline} "
            "for the same loss, if the exponents are the same "
            f"(p {p_text(equality)})."
        )
    return lines


def _sections(folder, results, pictures, tables):
    for line in summary(results):
        yield f'<p class="summary">{escape(line)}</p>'
    if results.notes:
        yield "<h2>To keep in mind</h2>\n<ul>"
        yield from (f"<li>{escape(note)}</li>" for note in results.notes)
        yield "</ul>"
    for name, image in pictures.items():
        data = base64.b64encode(image).decode("ascii")
        yield f"<h2>{HEADINGS[name]}</h2>\n<p>{EXPLANATIONS[name]}</p>"
        yield f'<img alt="{HEADINGS[name]}" src="data:image/png;base64,{data}">'
    titles = {
        "models": "Models",
        "ablation": "Effects of the modifications",
        "scaling": "Power laws l = a c^-k",
        "targets": "Predicted FLOPs for a loss",
        "sizes": f"Speedup over {results.study.baseline} of the same size, in FLOPs",
    }
    for name, table in tables.items():
        yield f"<h2>{titles[name]}</h2>\n{_table(table)}"
    if results.laws is not None:
        yield f"<p>{escape(_equality(results))}</p>"
    yield "<h2>Runs</h2>"
    done = f"{len(results.records)} of {len(results.runs)} runs are done"
    yield f"<details><summary>{done}</summary>{_table(_run_table(results))}</details>"
    yield "<h2>How to repeat it</h2>"
    yield f"<pre>{escape(_commands(folder))}</pre>"
    definition = escape(json.dumps(results.study.to_dict(), indent=2))
    yield f"<details><summary>Definition, study.json</summary><pre>{definition}</pre></details>"
    yield "<h2>Environment</h2>"
    for title, table in _environments(results).items():
        yield f"<p>{title}</p>{_table(table)}"


def _equality(results: StudyResults) -> str:
    laws = results.laws
    assert laws is not None
    return (
        f"Over {laws.compute[0]:.2e} to {laws.compute[1]:.2e} FLOPs of "
        f"{results.study.baseline}, and at the same losses, the common exponent is "
        f"{laws.k.format(4)}. That all exponents are the same has p {p_text(laws.equality)}; if "
        "this is small, no single factor b describes the savings."
    )


def _run_table(results: StudyResults) -> Table:
    rows = [["run", "status", "steps", "final loss", "tokens a second"]]
    for run in results.runs:
        record = results.records.get(run)
        if record is None:
            rows.append([run.name, "not done", "", "", ""])
            continue
        curve = record["curve"]
        losses, speeds = curve["validation_loss"], record["tokens_per_second"]
        is_measured = losses and losses[-1] is not None and record["status"] != DIVERGED
        loss = f"{losses[-1]:.4f}" if is_measured else ""
        speed = f"{sorted(speeds)[len(speeds) // 2]:,.0f}" if speeds else ""
        steps = str(curve["step"][-1]) if curve["step"] else "0"
        rows.append([run.name, record["status"], steps, loss, speed])
    return rows


def _environments(results: StudyResults) -> dict[str, Table]:
    found: dict[str, dict[str, str]] = {}
    if results.times is not None:
        found["Where the steps were measured"] = results.times.environment
    for record in results.records.values():
        shown = found.setdefault("Where the runs were trained", dict(record["environment"]))
        for key, value in record["environment"].items():
            if value not in shown.get(key, "").split(" / "):
                shown[key] = f"{shown[key]} / {value}"
    return {title: [["part", "version"], *map(list, e.items())] for title, e in found.items()}


def _commands(folder: Path) -> str:
    path = folder / COMMAND
    lines = [path.read_text(encoding="utf-8").strip()] if path.exists() else []
    return "\n".join([*lines, f"primer study {shlex.quote(str(folder))}"])


def _table(table: Table) -> str:
    header, *rows = (
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for tag, row in zip(["th", *["td"] * len(table)], table, strict=False)
    )
    lines = "\n".join(f"<tr>{row}</tr>" for row in [header, *rows])
    return f'<div class="table"><table>\n{lines}\n</table></div>'
