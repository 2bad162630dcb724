"""The pictures of a report."""

import io

import numpy as np
from matplotlib.figure import Figure

from primer_tf.studies.estimate import Estimate
from primer_tf.studies.modifications import MODIFICATIONS
from primer_tf.studies.paper_values import paper_speedups
from primer_tf.studies.results import StudyResults

UNITS = {"steps": "steps", "flops": "FLOPs", "seconds": "seconds"}
WIDTH = 8.0


def png(figure: Figure) -> bytes:
    """Returns a figure as a PNG file."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def draw_all(results: StudyResults) -> dict[str, Figure]:
    """Returns every picture that the results allow, by name."""
    figures = {}
    if results.models and results.study.kind == "compare":
        figures["curves"] = draw_curves(results)
        if any(model.speedups for model in results.models):
            figures["speedups"] = draw_speedups(results)
    if results.ablation:
        figures["ablation"] = draw_ablation(results)
    if results.surfaces:
        figures["frontier"] = draw_frontier(results)
    if results.by_size:
        figures["sizes"] = draw_by_size(results)
    return figures


def draw_curves(results: StudyResults) -> Figure:
    """Draws the mean validation loss of each model and the range of its seeds."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for model in results.models:
        means, losses = model.curves.losses.mean(axis=0), model.curves.losses
        for unit, per_step, ax in zip(
            ("steps", "FLOPs"), (1, model.flops_per_step), axes, strict=True
        ):
            x = model.curves.compute * per_step
            (line,) = ax.plot(x, means, label=model.name, linewidth=1.2)
            ax.fill_between(
                x, losses.min(axis=0), losses.max(axis=0), color=line.get_color(), alpha=0.2, lw=0
            )
            ax.set(xlabel=f"training {unit}", xscale="log")
            ax.grid(alpha=0.3, which="both")
    baseline = next(m for m in results.models if m.name == results.study.baseline)
    for ax in axes:
        ax.axhline(baseline.curves.mean().final, color="gray", linewidth=0.8, linestyle="--")
    # The first points would leave no room for the differences.
    ends = [m.curves.losses.mean(axis=0) for m in results.models]
    quarter = max(float(losses[len(losses) // 5]) for losses in ends)
    lowest = min(float(m.curves.losses.min()) for m in results.models)
    axes[0].set_ylim(lowest - 0.02 * (quarter - lowest), quarter)
    axes[0].set_ylabel("validation loss, nats per token")
    axes[0].legend(fontsize="small")
    return figure


def draw_speedups(results: StudyResults) -> Figure:
    """Draws the speedup factors with their intervals beside those of the paper."""
    models = [model for model in results.models if model.speedups]
    units = [unit for unit in UNITS if unit in models[0].speedups]
    papers = {
        model.name: paper_speedups(results.study.models[model.name]["preset"])
        if len(results.study.models[model.name]) == 1
        else {}
        for model in models
    }
    experiments = list(dict.fromkeys(name for paper in papers.values() for name in paper))
    figure = Figure(figsize=(WIDTH, 1.4 + 0.17 * len(models) * (len(units) + len(experiments) + 1)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    height = 1 / (len(units) + len(experiments) + 1)
    for row, unit in enumerate(units):
        for place, model in enumerate(models):
            y, factor = place + row * height, model.speedups[unit].factor
            label = f"here, {UNITS[unit]}" if place == 0 else None
            value = factor.value if factor else model.speedups[unit].bound
            axes.barh(y, value, height, color=f"C{row}", label=label, alpha=1 if factor else 0.25)
            text = f"{value:.2f}" if factor else f"< {value:.2f}: did not reach"
            end = value
            if factor is not None and factor.high is not None:
                _whisker(axes, factor, y)
                end = max(value, factor.high)
            axes.text(end, y, f" {text}", va="center", fontsize="x-small")
    for row, experiment in enumerate(experiments, start=len(units)):
        for place, model in enumerate(models):
            if published := papers[model.name].get(experiment):
                y = place + row * height
                shade = str(0.45 + 0.15 * (row - len(units)))
                axes.barh(y, published, height, color=shade)
                axes.text(published, y, f" {published:.2f}", va="center", fontsize="x-small")
        axes.barh(0, 0, height, color=str(0.45 + 0.15 * (row - len(units))), label=experiment)
    middle = height * (len(units) + len(experiments) - 1) / 2
    axes.set_yticks([place + middle for place in range(len(models))], [m.name for m in models])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"speedup factor over {results.study.baseline}, with 95% intervals")
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    return figure


def _whisker(axes, estimate: Estimate, y: float) -> None:
    axes.plot([estimate.low, estimate.high], [y, y], color="black", linewidth=1)


def draw_ablation(results: StudyResults) -> Figure:
    """Draws how much faster each modification lets each of two models learn."""
    names = list(dict.fromkeys(effect.modification for effect in results.ablation))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots()
    for inserted, shift, color in ((True, -0.15, "C0"), (False, 0.15, "C1")):
        label: str | None = "in the vanilla Transformer" if inserted else "in Primer"
        for effect in (e for e in results.ablation if e.inserted == inserted):
            y = names.index(effect.modification) + shift
            axes.plot(effect.gain.value, y, "o", color=color, label=label, markersize=4)
            label = None
            low, high = effect.gain.low, effect.gain.high
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=color, linewidth=1.2)
    values = [effect.gain.value for effect in results.ablation]
    axes.set_xlim(min(*values, 1) / 1.5, max(*values, 1) * 1.5)  # Intervals may be endless.
    axes.set_yticks(range(len(names)), [MODIFICATIONS[name].label for name in names])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(alpha=0.3, axis="x")
    axes.set_xlabel("times as fast with it as without it, in FLOPs, with 95% intervals")
    axes.legend(fontsize="small")
    return figure


def draw_frontier(results: StudyResults) -> Figure:
    """Draws the losses of all runs, the compute-optimal frontiers, and the residuals."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    frontier, residuals = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, (name, surface) in enumerate(results.surfaces.items()):
        color = f"C{number}"
        points = surface.points
        frontier.plot(points.compute, points.losses, ".", color=color, alpha=0.35, markersize=4)
        log_compute = np.log(np.geomspace(*surface.compute_range, 60))
        losses = np.exp(surface.log_frontier(log_compute))
        frontier.plot(np.exp(log_compute), losses[0], color=color, label=_law(results, name))
        low, high = np.quantile(losses[1:], (0.025, 0.975), axis=0)
        frontier.fill_between(np.exp(log_compute), low, high, color=color, alpha=0.2, lw=0)
        residuals.plot(points.compute, 100 * surface.residuals, ".", color=color, markersize=4)
    frontier.set(xscale="log", yscale="log", xlabel="training FLOPs")
    frontier.set_ylabel("validation loss, nats per token")
    frontier.yaxis.set_major_formatter("{x:.2g}")
    frontier.yaxis.set_minor_formatter("{x:.2g}")
    residuals.set(xscale="log", xlabel="training FLOPs", ylabel="loss over fitted surface, %")
    residuals.axhline(0, color="black", linewidth=0.8)
    for axes in (frontier, residuals):
        axes.grid(alpha=0.3, which="both")
    frontier.legend(fontsize="small")
    return figure


def draw_by_size(results: StudyResults) -> Figure:
    """Draws the speedup factor of each model at each size."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    values = [1.0]
    for number, (name, found) in enumerate(results.by_size.items()):
        color = f"C{number}"
        factors = {c: each.factor for c, each in found.at.items() if each.factor is not None}
        places = [compute * 1.03**number for compute in factors]
        own = [factor.value for factor in factors.values()]
        axes.plot(places, own, "o", color=color, label=name)
        values += own
        for x, factor in zip(places, factors.values(), strict=True):
            if factor.low is not None and factor.high is not None:
                axes.plot([x, x], [factor.low, factor.high], color=color, linewidth=1)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel=f"training FLOPs of {results.study.baseline}")
    axes.set_ylabel("speedup factor, with 95% intervals")
    axes.set_ylim(0.8 * min(values), 1.25 * max(values))  # Intervals may be endless.
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _law(results: StudyResults, name: str) -> str:
    if results.laws is None:
        return name
    return f"{name}: $k$ = {results.laws.laws[name].k.format(3)}"
