"""Trains the best of a search again, for longer, beside the programs of the library."""

import dataclasses
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError
from primer_tf.files import atomic_write, sole_writer
from primer_tf.programs.library import primer_ez
from primer_tf.search.config import SearchConfig, read_config
from primer_tf.search.individual import Task
from primer_tf.search.record import SearchRecord
from primer_tf.search.retrained import FILE, START, read_retrained
from primer_tf.search.tokens import VOCABULARY, prepare_tokens
from primer_tf.search.trainer import Trainer
from primer_tf.types import StrPath

PRESET = "best"
# What is trained beside the best.
REFERENCES = (START, "Primer-EZ")


def retrain(
    directory: StrPath,
    top: int,
    steps: int,
    seeds: int = 3,
    report: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Trains the best programs of a search again, without hurdles, and saves the best as a preset.

    The start and Primer-EZ are trained beside them. What has been trained before is not trained
    again. `DIR/best` is the preset of the best.

    Args:
        directory: Folder of the search.
        top: Number of programs.
        steps: Steps that the start trains; the others get the same work.
        seeds: Number of trainings of each program. None has the seed of the search, for which the
            programs were chosen. Defaults to 3.
        report: Takes the lines that say how it goes. Defaults to `print`.

    Returns:
        The rows of `retrained.json`, one for each training, the best first.

    Raises:
        UserError: The folder holds no search, no individual has been fully trained yet, or
            another process writes the folder.
    """
    directory = Path(directory)
    config = dataclasses.replace(
        read_config(directory), steps=steps, wall_time=0.0, hurdles=1, max_seconds=1e9
    )
    programs = _programs(directory, config)
    chosen = list(programs)[: len(REFERENCES) + top]
    with sole_writer(directory):
        tokens = prepare_tokens(config, directory)
        # What another search of this configuration left has other programs under the same names.
        rows = [
            row
            for row in read_retrained(directory)
            if row["program"] == json.loads(programs.get(row["name"], "null"))
        ]
        known = {(row["name"], row["steps"], row["seed"]) for row in rows}
        for seed in range(config.seed + 1, config.seed + 1 + seeds):
            trainer = Trainer(dataclasses.replace(config, seed=seed), tokens)
            for name in chosen:
                if (name, steps, seed) in known:
                    continue
                program = programs[name]
                outcome, model = trainer.train_whole(Task(0, program, ()))
                before = [row["loss"] for row in rows if row["loss"] is not None]
                rows.append(
                    {
                        "name": name,
                        "steps": steps,
                        "seed": seed,
                        "own_steps": outcome.steps,
                        "loss": outcome.loss,
                        "parameters": outcome.parameters,
                        "reason": outcome.reason,
                        "program": json.loads(program),
                    }
                )
                report(_line(rows[-1]))
                if outcome.loss is not None and outcome.loss < min(before, default=float("inf")):
                    _save(model, directory)
                rows.sort(key=lambda row: float("inf") if row["loss"] is None else row["loss"])
                atomic_write(directory / FILE, json.dumps(rows, indent=1) + "\n")
    return rows


def _programs(directory: Path, config: SearchConfig) -> dict[str, str]:
    """Returns all programs that may be trained, as JSON texts by name, the best first."""
    with closing(SearchRecord(directory)) as record:
        found = record.best()
    if not found:
        raise UserError(f"No individual of {directory} has been fully trained yet.")
    scale = (config.hidden_dim // config.num_heads) ** -0.5
    references = [config.start(), primer_ez(config.num_heads, score_scale=scale)]
    return {
        **{name: each.to_json() for name, each in zip(REFERENCES, references, strict=True)},
        **{f"{each.algorithm} {each.number}": str(each.program) for each in found},
    }


def _line(row: dict[str, Any]) -> str:
    result = row["reason"] if row["loss"] is None else f"validation loss {row['loss']:.4f}"
    return (
        f"{row['name']}, seed {row['seed']}: {result}, {row['own_steps']:,} steps, "
        f"{row['parameters']:,} weights"
    )


def _save(model: Any, directory: Path) -> None:
    from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer

    tokenizer = PrimerTokenizer((directory / VOCABULARY).read_bytes())
    length = model.backbone.max_sequence_length
    model.preprocessor = PrimerCausalLMPreprocessor(tokenizer, sequence_length=length)
    model.save_to_preset(str(directory / PRESET))
