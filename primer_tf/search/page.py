"""The page of a search: one HTML file that needs nothing else."""

import io
from html import escape
from pathlib import Path

from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.programs.drawing import to_svg
from primer_tf.programs.graph import infer_graph
from primer_tf.programs.listing import listing
from primer_tf.programs.program import Program
from primer_tf.search.config import ALGORITHMS, SearchConfig, read_config
from primer_tf.search.individual import STATUSES, Individual
from primer_tf.search.lineage import best_so_far, lineage
from primer_tf.search.record import SearchRecord
from primer_tf.search.retrained import Retrained, read_retrained, retrained
from primer_tf.types import StrPath

FILE = "search.html"
COLOURS = {"evolution": "#1f6fb4", "random": "#c44e52"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { text-align: left; padding: .2rem .8rem; border-bottom: 1px solid #ddd }
td.number { text-align: right; font-variant-numeric: tabular-nums }
pre { background: #f5f6f8; padding: 1rem; overflow-x: auto }
svg { max-width: 100%; height: auto }
"""


def write_page(directory: StrPath) -> Path:
    """Writes `search.html` of the search in a folder: its fitness, its best program and its family.

    Args:
        directory: Folder of the search, which may still be running.

    Returns:
        The path of the page.

    Raises:
        UserError: The folder holds no search, or no individual has been fully trained yet.
    """
    config, record = read_config(directory), SearchRecord(directory)
    everyone = {name: record.individuals(name) for name in ALGORITHMS}
    found = record.best(1, "evolution") or record.best(1)
    record.close()
    if not found:
        raise UserError(f"No individual of {directory} has been fully trained yet; wait for one.")
    (best,) = found
    family = lineage(everyone[best.algorithm], best)
    program = Program.from_json(str(best.program))
    parts = [
        "<h1>Architecture search</h1>",
        _summary(config, best),
        _counts(everyone),
        "<h2>Best validation loss against compute</h2>",
        _fitness(everyone),
        "<h2>Family of the best</h2>",
        _family(everyone[best.algorithm], family),
        _edits(family),
        "<h2>The best program</h2>",
        f"<pre>{escape(listing(program))}</pre>",
        to_svg(infer_graph(program, config.hidden_dim)),
        _retrained(retrained(read_retrained(directory))),
    ]
    path = Path(directory) / FILE
    atomic_write(
        path,
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Architecture search</title>'
        f"<style>{STYLE}</style>{''.join(parts)}</html>\n",
    )
    return path


def _summary(config: SearchConfig, best: Individual) -> str:
    return (
        f"<p>Data <code>{escape(config.data)}</code>; {config.num_layers} blocks, "
        f"{config.hidden_dim} channels, {config.sequence_length} tokens, seed {config.seed}. Each "
        f"program gets the work of {config.steps} steps of the start, a Transformer. Best: number "
        f"{best.number} of {best.algorithm}, validation loss {best.outcome.loss:.4f}.</p>"
    )


def _counts(everyone: dict[str, list[Individual]]) -> str:
    head = "".join(f"<th>{status}" for status in STATUSES)
    rows = []
    for name, individuals in everyone.items():
        if individuals:
            statuses = [each.outcome.status for each in individuals]
            cells = "".join(f'<td class="number">{statuses.count(each)}' for each in STATUSES)
            spent = sum(each.outcome.spent for each in individuals)
            _, losses = best_so_far(individuals)
            best = f"{losses[-1]:.4f}" if losses else ""
            rows.append(
                f'<tr><td>{name}{cells}<td class="number">{spent:.1f}<td class="number">{best}'
            )
    head += "<th>compute, in trainings of the start<th>best validation loss"
    return f"<table><tr><th>{head}{''.join(rows)}</table>"


def _fitness(everyone: dict[str, list[Individual]]) -> str:
    figure, axes = _figure()
    for name, individuals in everyone.items():
        xs, ys = best_so_far(individuals)
        if xs:
            axes.step(xs, ys, where="post", label=name, color=COLOURS[name])
    axes.set_xlabel("compute, in trainings of the start")
    axes.set_ylabel("best validation loss (nats)")
    axes.legend()
    return _svg(figure)


def _family(individuals: list[Individual], family: list[Individual]) -> str:
    figure, axes = _figure()
    trained = [each for each in individuals if each.outcome.status in ("trained", "stopped")]
    for status, colour in (("trained", "#9aa5b5"), ("stopped", "#dfe3e9")):
        points = [
            (each.number, each.outcome.loss) for each in trained if each.outcome.status == status
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), s=9, color=colour, label=status)
    axes.plot(
        [each.number for each in family],
        [each.outcome.loss for each in family],
        marker="o",
        color=COLOURS["evolution"],
        label="the best and its ancestors",
    )
    losses = sorted(each.outcome.loss for each in trained if each.outcome.loss is not None)
    # The worst say nothing and would flatten the rest.
    axes.set_ylim(losses[0] - 0.02, losses[int(0.9 * (len(losses) - 1))] + 0.02)
    axes.set_xlabel("number of the individual")
    axes.set_ylabel("validation loss (nats)")
    axes.legend()
    return _svg(figure)


def _edits(family: list[Individual]) -> str:
    rows = []
    for parent, each in zip([None, *family[:-1]], family, strict=True):
        loss = each.outcome.loss
        gain = ""
        if parent is not None and None not in (parent.outcome.loss, loss):
            gain = f"{(parent.outcome.loss or 0) - (loss or 0):+.4f}"
        rows.append(
            f'<tr><td class="number">{each.number}<td>{escape(each.edit)}'
            f'<td class="number">{loss:.4f}<td class="number">{gain}'
        )
    return f"<table><tr><th>number<th>edit<th>loss<th>gain{''.join(rows)}</table>"


def _retrained(found: list[Retrained]) -> str:
    if not found:
        return ""
    rows = []
    for each in found:
        interval = "" if each.interval is None else "{:+.4f} to {:+.4f}".format(*each.interval)
        cells = [str(len(each.losses)), f"{each.mean:.4f}", f"{each.gain:+.4f}", interval]
        cells += [f"{each.steps:,}", f"{each.parameters:,}"]
        texts = "".join(f'<td class="number">{cell}' for cell in cells)
        rows.append(f"<tr><td>{escape(each.name)}{texts}")
    head = ["program", "seeds", "loss", "gain", "interval", "steps", "weights"]
    return (
        "<h2>Trained again, for longer</h2><p>Each program with seeds other than that of the "
        "search: mean validation loss, and the gain over the start with its 95% confidence "
        "interval.</p>"
        f"<table><tr>{''.join(f'<th>{each}' for each in head)}{''.join(rows)}</table>"
    )


def _figure():
    from matplotlib.figure import Figure  # No window, and no global state.

    figure = Figure(figsize=(9, 4), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    # The same page for the same search.
    with rc_context({"svg.hashsalt": "primer_tf"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
