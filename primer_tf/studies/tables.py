"""The tables of a report, as rows of strings."""

import csv
import io
from collections.abc import Iterator

from primer_tf.studies.estimate import Estimate
from primer_tf.studies.modifications import MODIFICATIONS
from primer_tf.studies.results import StudyResults
from primer_tf.studies.scaling_law import compute_for

Table = list[list[str]]
POINT_COLUMNS = (
    *("model", "size", "seed", "learning_rate_scale", "step", "tokens", "flops", "seconds"),
    *("validation_loss", "bits_per_byte"),
)


def p_text(p: float | None) -> str:
    """Returns a p-value as text, such as `"= 0.0312"` or `"< 0.0001"`."""
    if p is None:
        return "unknown with one seed"
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def model_table(results: StudyResults) -> Table:
    """Returns what was found about each model: cost, final loss and speedups."""
    units = [
        u for u in ("steps", "flops", "seconds") if any(u in m.speedups for m in results.models)
    ]
    tuned = len(results.study.learning_rate_scales) > 1
    header = ["model", "seeds", "parameters", "FLOPs a step", "seconds a step"]
    header += ["learning rate scale"] if tuned else []
    header += ["final loss", "bits per byte"]
    header += [f"speedup in {'FLOPs' if unit == 'flops' else unit}" for unit in units] + ["p"]
    rows = [header]
    for m in results.models:
        seconds = "" if m.seconds_per_step is None else f"{m.seconds_per_step:.3g}"
        row = [m.name, str(len(m.curves.losses)), f"{m.parameters:,}", f"{m.flops_per_step:.3e}"]
        row += [seconds, *([f"{m.learning_rate_scale:g}"] if tuned else [])]
        row += [m.loss.format(4), m.bits_per_byte.format(4)]
        is_baseline = m.name == results.study.baseline
        row += ["1" if is_baseline else str(m.speedups[unit]) for unit in units]
        rows.append([*row, "" if is_baseline else p_text(m.p_value).removeprefix("= ")])
    return rows


def ablation_table(results: StudyResults) -> Table:
    """Returns what each modification does to each model."""
    rows = [["modification", "model", "change of the loss", "times as fast, in FLOPs", "p"]]
    for effect in results.ablation:
        model = "vanilla" if effect.inserted else "Primer"
        gain, p = str(effect.gain), p_text(effect.p_value).removeprefix("= ")
        label = MODIFICATIONS[effect.modification].label
        rows.append([label, model, effect.difference.format(4), gain, p])
    return rows


def scaling_table(results: StudyResults) -> Table:
    """Returns the power law of each architecture and what it saves."""
    laws = results.laws
    if laws is None:
        return []
    low, middle, high = next(iter(laws.savings.values())).at if laws.savings else (0.0, 0.0, 0.0)
    rows = [["model", "k", "a", "savings b, one exponent"]]
    rows[0] += [f"savings at {c:.1e} FLOPs" for c in (low, middle, high)]
    rows[0] += ["growth of the savings", "error of a size left out"]
    for name, law in laws.laws.items():
        row = [name, law.k.format(4), f"{law.a:.4g}"]
        if name in laws.savings:
            saved = laws.savings[name]
            row += [str(saved.constant), *map(str, saved.at.values()), saved.growth.format(3)]
        else:
            row += ["1", "1", "1", "1", "0"]
        errors = results.surfaces[name].leave_one_size_out().values()
        rows.append([*row, f"{100 * max(map(abs, errors)):.2f}%" if errors else "too few sizes"])
    return rows


def size_table(results: StudyResults) -> Table:
    """Returns the speedup in FLOPs at each size, and with which exponent it grows."""
    compute = sorted({c for found in results.by_size.values() for c in found.at})
    rows = [["model", *(f"at {c:.1e} FLOPs" for c in compute), "growth with the FLOPs"]]
    for name, found in results.by_size.items():
        growth = "too few sizes" if found.growth is None else found.growth.format(3)
        rows.append([name, *(str(found.at.get(c, "")) for c in compute), growth])
    return rows


def target_table(results: StudyResults) -> Table:
    """Returns the compute that each architecture needs for the baseline's losses."""
    laws = results.laws
    if laws is None:
        return []
    import numpy as np

    compute = np.log([laws.compute[1], 10 * laws.compute[1]])
    losses = np.exp(results.surfaces[results.study.baseline].log_frontier(compute)[0])
    rows = [["target loss", *laws.laws]]
    for loss in losses:
        predictions = [compute_for(results.surfaces[name], float(loss)) for name in laws.laws]
        rows.append([f"{loss:.4f}", *map(_flops, predictions)])
    return rows


def _flops(estimate: Estimate | None) -> str:
    if estimate is None:
        return "never"
    return f"{estimate.value:.2e} ({estimate.low:.2e} to {estimate.high:.2e})"


def point_rows(results: StudyResults) -> Iterator[list[object]]:
    """Yields every measured point of every run, after a header."""
    yield list(POINT_COLUMNS)
    for run, record in results.records.items():
        tokens = record["tokens_per_step"]
        times = results.times
        seconds = times.seconds(run.model) if times and not run.size else None
        curve = record["curve"]
        for step, loss, bits in zip(
            curve["step"], curve["validation_loss"], curve["bits_per_byte"], strict=True
        ):
            yield [
                *(run.model, run.size, run.seed, run.learning_rate_scale, step, step * tokens),
                step * tokens * record["train_flops_per_token"],
                "" if seconds is None else f"{step * seconds:.6g}",
                loss,
                bits,
            ]


def to_csv(rows: object) -> str:
    """Returns rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()
