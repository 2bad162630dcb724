"""What the records of a study say, in numbers with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from primer_tf.errors import UserError
from primer_tf.studies.estimate import Estimate, t_interval
from primer_tf.studies.modifications import (
    INSERTED,
    MODIFICATIONS,
    PLAIN,
    REMOVED,
    REPLACED,
    WHOLE,
)
from primer_tf.studies.run_record import FINISHED, read_records
from primer_tf.studies.run_study import measured, planned_runs
from primer_tf.studies.scaling_law import ScalingLaws, scaling_laws
from primer_tf.studies.scaling_surface import ScalingPoints, ScalingSurface
from primer_tf.studies.significance import p_value
from primer_tf.studies.speedup import Curves, Speedup, relative_speed, speedup_factor
from primer_tf.studies.speedup_by_size import SpeedupBySize, speedup_by_size
from primer_tf.studies.step_times import StepTimes
from primer_tf.studies.study import Run, Study

Record = dict[str, Any]


@dataclass(frozen=True)
class ModelResult:
    """What a study found about one model.

    Attributes:
        name: The model.
        parameters: Number of weights.
        flops_per_step: Training FLOPs of a step.
        seconds_per_step: Measured seconds of a step, if they were measured.
        learning_rate_scale: Factor on its learning rate.
        curves: Its finished runs, in steps.
        loss: Final validation loss over the seeds.
        bits_per_byte: Final bits per byte over the seeds.
        p_value: That of a loss at or below the baseline's; see `significance`.
        speedups: The speedup factor in `"steps"`, `"flops"` and, if measured, `"seconds"`.
    """

    name: str
    parameters: int
    flops_per_step: int
    seconds_per_step: float | None
    learning_rate_scale: float
    curves: Curves
    loss: Estimate
    bits_per_byte: Estimate
    p_value: float | None
    speedups: dict[str, Speedup]


@dataclass(frozen=True)
class AblationResult:
    """What one modification does to one model.

    Attributes:
        modification: Its name in `MODIFICATIONS`.
        inserted: Whether it was inserted in the vanilla Transformer; otherwise it was taken out of
            Primer, or is a variant of what Primer has.
        difference: The final loss with the modification less that without it.
        gain: How many times faster the model with the modification learns, in FLOPs; below 1 if it
            learns more slowly.
        p_value: That of a loss at or below the one without the modification.
    """

    modification: str
    inserted: bool
    difference: Estimate
    gain: Estimate
    p_value: float | None


@dataclass(frozen=True)
class StudyResults:
    """What a study found so far.

    Attributes:
        study: The study.
        runs: All runs of the study.
        records: The records of those that are done.
        times: The measured `StepTimes`, or `None`.
        models: A `ModelResult` for each model with a finished run; empty for `"scale"`.
        ablation: The `AblationResult`s.
        surfaces: The fitted surface of each model, for `"scale"`.
        laws: The `ScalingLaws`, for `"scale"`.
        by_size: The `SpeedupBySize` of each model but the baseline, for `"scale"`.
        notes: Sentences about what is missing or went wrong.
    """

    study: Study
    runs: list[Run]
    records: dict[Run, Record]
    times: StepTimes | None
    models: list[ModelResult]
    ablation: list[AblationResult]
    surfaces: dict[str, ScalingSurface]
    laws: ScalingLaws | None
    by_size: dict[str, SpeedupBySize]
    notes: list[str]


def study_results(folder: Path, study: Study) -> StudyResults:
    """Returns what the records in the folder of a study say.

    Args:
        folder: The folder.
        study: The study.

    Raises:
        UserError: A record is damaged.
    """
    times = None if study.kind == "scale" else measured(folder, study)
    notes: list[str] = []
    if study.budget["unit"] == "seconds" and times is None:
        notes.append("The times of a step are not measured yet.")
        return StudyResults(study, [], {}, None, [], [], {}, None, {}, notes)
    runs = planned_runs(folder, study)
    records = read_records(folder, runs)
    if missing := len(runs) - len(records):
        notes.append(f"{missing} of {len(runs)} runs are not done yet.")
    notes += [r["message"] for r in records.values() if r["status"] != FINISHED]
    notes += _tuning_notes(study, runs)
    finished = {run: record for run, record in records.items() if record["status"] == FINISHED}
    models, ablation, surfaces, laws, by_size = [], [], {}, None, {}
    if study.kind == "scale":
        surfaces = _surfaces(study, finished, notes)
        if study.baseline in surfaces:
            laws = scaling_laws(surfaces, study.baseline)
        by_size = _by_size(study, finished)
    else:
        models = _models(study, finished, times)
        if not models:
            notes.append(f"No run of the baseline {study.baseline} has finished.")
        if study.kind == "ablate":
            ablation = _ablation({model.name: model for model in models})
    return StudyResults(
        study, runs, records, times, models, ablation, surfaces, laws, by_size, notes
    )


def _tuning_notes(study: Study, runs: Sequence[Run]) -> list[str]:
    """Returns a note for each model whose best learning rate is at the end of what was tried."""
    if len(study.learning_rate_scales) < 2:
        return []
    ends = min(study.learning_rate_scales), max(study.learning_rate_scales)
    at_an_end = {(r.model, r.learning_rate_scale) for r in runs if r.learning_rate_scale in ends}
    return [
        f"The best learning rate of {model} is the {'lowest' if scale == ends[0] else 'highest'} "
        f"that was tried ({scale:g})."
        for model, scale in sorted(at_an_end)
    ]


def mean_estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Returns the mean of a number over seeds, with Student's interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    return t_interval(mean, float(np.std(values, ddof=1)) / len(values) ** 0.5, len(values) - 1)


def difference_estimate(
    values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray
) -> Estimate:
    """Returns the difference of two means over seeds, with Welch's interval."""
    difference = float(np.mean(values) - np.mean(others))
    if min(len(values), len(others)) < 2:
        return Estimate(difference)
    if np.ptp(values) == np.ptp(others) == 0:
        return Estimate(difference, difference, difference)
    interval = stats.ttest_ind(values, others, equal_var=False).confidence_interval()
    return Estimate(difference, float(interval.low), float(interval.high))


def _curves(records: Sequence[Record]) -> Curves:
    """Returns the curves of runs of one model and one length."""
    steps = records[0]["curve"]["step"]
    losses = [record["curve"]["validation_loss"] for record in records]
    return Curves(np.array(steps, float), np.array(losses, float))


def _curves_of_ends(runs: Mapping[Run, Record]) -> Curves:
    """Returns curves whose points are the ends of runs, one of each length, of one model."""
    ends: dict[int, dict[int, float]] = {}
    for run, record in runs.items():
        ends.setdefault(run.seed, {})[run.steps] = record["curve"]["validation_loss"][-1]
    steps = sorted({run.steps for run in runs})
    # A seed counts when all its lengths are done.
    losses = [[own[length] for length in steps] for own in ends.values() if len(own) == len(steps)]
    return Curves(np.array(steps, float), np.array(losses, float).reshape(-1, len(steps)))


def _longest(runs: Mapping[Run, Record]) -> list[Record]:
    steps = max((run.steps for run in runs), default=0)
    return [record for run, record in runs.items() if run.steps == steps]


def _curves_of_model(study: Study, runs: Mapping[Run, Record]) -> Curves | None:
    """Returns the curves of runs of one model and size, `None` before a seed of it is done."""
    if not runs:
        return None
    if not study.separate_lengths or len(study.lengths) == 1:
        return _curves(_longest(runs))
    curves = _curves_of_ends(runs)
    return curves if len(curves.losses) else None


def _in_unit(curves: Curves, per_step: float) -> Curves:
    return Curves(curves.compute * per_step, curves.losses)


def _models(
    study: Study, finished: Mapping[Run, Record], times: StepTimes | None
) -> list[ModelResult]:
    by_model: dict[str, list[Record]] = {}
    all_curves: dict[str, Curves] = {}
    for name in study.models:
        runs = {run: record for run, record in finished.items() if run.model == name}
        by_model[name] = _longest(runs)
        if (curves := _curves_of_model(study, runs)) is not None:
            all_curves[name] = curves
    if study.baseline not in all_curves:
        return []
    base = all_curves[study.baseline]
    results = []
    for name, curves in all_curves.items():
        records = by_model[name]
        flops = {n: by_model[n][0]["train_flops_per_token"] for n in (study.baseline, name)}
        speedups = {}
        if name != study.baseline:
            speedups["steps"] = speedup_factor(base, curves)
            speedups["flops"] = speedup_factor(
                base, _in_unit(curves, flops[name] / flops[study.baseline])
            )
            if times is not None:
                ratio, error = times.ratio(study.baseline, name)
                speedups["seconds"] = speedup_factor(base, _in_unit(curves, ratio), error)
        results.append(
            ModelResult(
                name=name,
                parameters=records[0]["parameters"],
                flops_per_step=flops[name] * records[0]["tokens_per_step"],
                seconds_per_step=None if times is None else times.seconds(name),
                learning_rate_scale=records[0]["run"]["learning_rate_scale"],
                curves=curves,
                loss=mean_estimate(curves.losses[:, -1]),
                bits_per_byte=mean_estimate([r["curve"]["bits_per_byte"][-1] for r in records]),
                p_value=None
                if name == study.baseline
                else p_value(curves.losses[:, -1], base.losses[:, -1]),
                speedups=speedups,
            )
        )
    return results


def _ablation(models: Mapping[str, ModelResult]) -> list[AblationResult]:
    results = []
    for name in MODIFICATIONS:
        pairs = [(PLAIN, INSERTED + name, True)]
        if MODIFICATIONS[name].is_variant:
            pairs.append((WHOLE, REPLACED + name, False))
        else:
            pairs.append((REMOVED + name, WHOLE, False))
        for without, with_it, inserted in pairs:
            if without in models and with_it in models:
                results.append(_effect(name, inserted, models[without], models[with_it]))
    return results


def _effect(
    name: str, inserted: bool, without: ModelResult, with_it: ModelResult
) -> AblationResult:
    curves = [_in_unit(m.curves, m.flops_per_step) for m in (without, with_it)]
    finals = [each.losses[:, -1] for each in curves]
    return AblationResult(
        modification=name,
        inserted=inserted,
        difference=difference_estimate(finals[1], finals[0]),
        gain=relative_speed(curves[0], curves[1]),
        p_value=p_value(finals[1], finals[0]),
    )


def _by_size(study: Study, finished: Mapping[Run, Record]) -> dict[str, SpeedupBySize]:
    curves: dict[str, dict[str, Curves]] = {name: {} for name in study.models}
    for name in study.models:
        for size in study.sizes:
            runs = {
                r: record for r, record in finished.items() if (r.model, r.size) == (name, size)
            }
            if (own := _curves_of_model(study, runs)) is not None:
                curves[name][size] = _in_unit(own, study.flops_per_step(name, size))
    base = curves.pop(study.baseline)
    found = {name: speedup_by_size(base, own) for name, own in curves.items()}
    return {name: each for name, each in found.items() if each.at}


def _surfaces(
    study: Study, finished: Mapping[Run, Record], notes: list[str]
) -> dict[str, ScalingSurface]:
    surfaces = {}
    for name in study.models:
        columns: list[tuple[float, float, float, int]] = []
        for number, (run, record) in enumerate(finished.items()):
            if run.model == name:
                columns += [(*point, number) for point in _points(study, record)]
        try:
            points = ScalingPoints(*map(np.array, zip(*columns, strict=True)))
            surfaces[name] = ScalingSurface(points, name)
        except (UserError, TypeError) as error:  # `TypeError`: there is no point at all.
            reason = str(error) if isinstance(error, UserError) else f"{name}: there are no runs."
            notes.append(reason)
    return surfaces


def _points(study: Study, record: Record) -> list[tuple[float, float, float]]:
    """Returns size, tokens and loss at each length that the run gives a point of."""
    curve, steps = record["curve"], record["run"]["steps"]
    lengths = [steps] if study.separate_lengths else study.point_steps(steps)
    log_steps = np.log(curve["step"])
    return [
        (
            record["train_flops_per_token"] / 6,
            length * record["tokens_per_step"],
            float(np.interp(np.log(length), log_steps, curve["validation_loss"])),
        )
        for length in lengths
    ]
