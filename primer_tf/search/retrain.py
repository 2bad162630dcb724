"""Trains the best of a search again, for longer, beside the programs of the library."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError
from primer_tf.files import atomic_write, sole_writer
from primer_tf.programs.library import primer_ez
from primer_tf.search.config import read_config
from primer_tf.search.individual import Task
from primer_tf.search.record import SearchRecord
from primer_tf.search.tokens import VOCABULARY, prepare_tokens
from primer_tf.search.trainer import Trainer
from primer_tf.types import StrPath

FILE = "retrained.json"
PRESET = "best"


def retrain(
    directory: StrPath,
    top: int,
    steps: int,
    report: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Trains the best programs of a search again, without hurdles, and saves the best as a preset.

    The start and Primer-EZ are trained beside them. What has been trained before is not trained
    again. `DIR/best` is the preset of the best.

    Args:
        directory: Folder of the search.
        top: Number of programs.
        steps: Steps that the start trains; the others get the same work.
        report: Takes the lines that say how it goes. Defaults to `print`.

    Returns:
        The rows of `retrained.json`, the best first.

    Raises:
        UserError: The folder holds no search, no individual has been fully trained yet, or
            another process writes the folder.
    """
    directory = Path(directory)
    config = dataclasses.replace(
        read_config(directory), steps=steps, wall_time=0.0, hurdles=1, max_seconds=1e9
    )
    record = SearchRecord(directory)
    found = record.best(top)
    record.close()
    if not found:
        raise UserError(f"No individual of {directory} has been fully trained yet.")
    start = config.start()
    scale = (config.hidden_dim // config.num_heads) ** -0.5
    programs = {
        "the start": start.to_json(),
        "Primer-EZ": primer_ez(config.num_heads, score_scale=scale).to_json(),
        **{f"{each.algorithm} {each.number}": str(each.program) for each in found},
    }
    path = directory / FILE
    with sole_writer(directory):
        trainer = Trainer(config, prepare_tokens(config, directory))
        rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        known = {(row["name"], row["steps"]) for row in rows}
        lowest = min((row["loss"] for row in rows if row["loss"] is not None), default=None)
        for name, program in programs.items():
            if (name, steps) in known:
                continue
            outcome, model = trainer.train_whole(Task(0, program, ()))
            rows.append(
                {
                    "name": name,
                    "steps": steps,
                    "own_steps": outcome.steps,
                    "loss": outcome.loss,
                    "parameters": outcome.parameters,
                    "reason": outcome.reason,
                    "program": json.loads(program),
                }
            )
            report(_line(rows[-1]))
            if outcome.loss is not None and (lowest is None or outcome.loss < lowest):
                lowest = outcome.loss
                _save(model, directory)
            rows.sort(key=lambda row: float("inf") if row["loss"] is None else row["loss"])
            atomic_write(path, json.dumps(rows, indent=1) + "\n")
    return rows


def _line(row: dict[str, Any]) -> str:
    result = row["reason"] if row["loss"] is None else f"validation loss {row['loss']:.4f}"
    return f"{row['name']}: {result}, {row['own_steps']:,} steps, {row['parameters']:,} weights"


def _save(model: Any, directory: Path) -> None:
    from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer

    tokenizer = PrimerTokenizer((directory / VOCABULARY).read_bytes())
    length = model.backbone.max_sequence_length
    model.preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=length)
    model.save_to_preset(str(directory / PRESET))
