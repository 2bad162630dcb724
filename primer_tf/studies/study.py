"""What a study is made of: models, a text, seeds, and the training runs that follow from them."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from primer_tf.errors import UserError, errors_of
from primer_tf.gin_config.model_arguments import SENTINELS, padded_vocabulary_size
from primer_tf.gin_config.presets import preset_arguments
from primer_tf.models.cost import ModelCost, model_cost
from primer_tf.studies.shapes import gated_width
from primer_tf.studies.text_source import resolve_source
from primer_tf.training.config import RunConfig
from primer_tf.types import Config, StrPath

KINDS = ("compare", "ablate", "scale")
UNITS = ("steps", "flops", "seconds")
# Fields of `RunConfig` that a study decides for each run.
OWN_FIELDS = {
    *("preset", "architecture", "first_step", "steps", "seed", "vocabulary"),
    "learning_rate_scale",
}
LEAST_STEPS = 2


@dataclass(frozen=True)
class Run:
    """One training run of a study.

    Attributes:
        model: Name of the model.
        size: Name of its size, or `""` in a study of one size.
        steps: Training steps.
        seed: Seed of the weights and of the order of the batches.
        learning_rate_scale: Factor on the learning rate.
        tuning: Whether the run only serves to choose `learning_rate_scale`.
    """

    model: str
    size: str
    steps: int
    seed: int
    learning_rate_scale: float = 1.0
    tuning: bool = False

    @property
    def name(self) -> str:
        """The run's name, which is also that of its files."""
        parts = [self.model, self.size, f"{self.steps} steps"]
        if self.tuning:
            parts.append(f"rate {self.learning_rate_scale:g}")
        parts.append(f"seed {self.seed}")
        return "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts if part)


@dataclass(frozen=True)
class Study:
    """A set of training runs that answer a question; kept as `study.json` in its folder.

    All runs of a seed see the same batches. The vocabulary is trained once for the whole study.

    Args:
        title: What the report calls the study.
        kind: `"compare"`, `"ablate"` or `"scale"`, which decides what the report shows.
        models: Dict from name to arguments of `PrimerBackbone`, with `preset`, the name of a preset
            whose arguments they change.
        baseline: The model that the others are compared with.
        training: Fields of `RunConfig` that all runs have, such as `data`.
        budget: Dict of `unit`, one of `"steps"`, `"flops"` and `"seconds"`, and `amount`: how long
            every model trains.
        seeds: The seeds.
        learning_rate_scales: What each model's learning rate is chosen from, with a seed that is
            not one of `seeds`. Defaults to no choice.
        sizes: Dict from name to arguments of `PrimerBackbone`, for `"scale"`. Defaults to the
            models' own size.
        lengths: Shares of the budget after which a run's loss is a point of the scaling law.
            Defaults to the whole budget alone.

    Raises:
        UserError: A value is wrong.
    """

    title: str
    kind: str
    models: Mapping[str, Config]
    baseline: str
    training: Mapping[str, Any]
    budget: Mapping[str, Any]
    seeds: tuple[int, ...]
    learning_rate_scales: tuple[float, ...] = ()
    sizes: Mapping[str, Config] = field(default_factory=dict)
    lengths: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Checks what can be checked without training."""
        for name in ("seeds", "learning_rate_scales", "lengths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.kind not in KINDS:
            raise UserError(f"kind must be one of {', '.join(KINDS)}; received {self.kind!r}.")
        if self.baseline not in self.models:
            raise UserError(
                f"The baseline {self.baseline!r} is none of the models {', '.join(self.models)}."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds must be different integers; received {list(self.seeds)}.")
        if not self.lengths or not all(0 < share <= 1 for share in self.lengths):
            raise UserError("lengths must be shares of the budget, above 0 and at most 1.")
        if self.kind == "scale" and not self.sizes:
            raise UserError("A study of scaling needs sizes.")
        if self.sizes and self.budget.get("unit") == "seconds":
            raise UserError("A study of several sizes takes a budget in steps or flops.")
        if set(self.budget) != {"unit", "amount"} or self.budget["unit"] not in UNITS:
            raise UserError(f"budget must have an amount and a unit: {', '.join(UNITS)}.")
        if unknown := set(self.training) - {f.name for f in dataclasses.fields(RunConfig)}:
            raise UserError(f"Unknown training options: {', '.join(sorted(unknown))}.")
        if owned := set(self.training) & OWN_FIELDS:
            raise UserError(f"A study decides {', '.join(sorted(owned))} itself; leave them out.")
        for model in self.models:
            for size in self.sizes or [""]:
                self.cost(model, size)

    def architecture(self, model: str, size: str = "") -> Config:
        """Returns the arguments of a model's `PrimerBackbone`.

        Args:
            model: Name of the model.
            size: Name of the size. Defaults to the model's own.
        """
        changes = {**self.models[model], **self.sizes.get(size, {})}
        arguments = {**preset_arguments(changes.pop("preset")), **changes}
        if arguments["gated"] and "intermediate_dim" in self.sizes.get(size, {}):
            # As the presets do, to offset the third matrix.
            arguments["intermediate_dim"] = gated_width(arguments["intermediate_dim"])
        return arguments

    def cost(self, model: str, size: str = "") -> ModelCost:
        """Returns the `ModelCost` of a model; see `architecture` for the arguments."""
        length = self.base_config.sequence_length
        with errors_of(f"describe the model {model!r}"):
            arguments = self.architecture(model, size)
            arguments["vocabulary_size"] = self.vocabulary_rows
            arguments["gradient_checkpointing"] = self.base_config.gradient_checkpointing
            return model_cost(arguments, length)

    @property
    def base_config(self) -> RunConfig:
        """The `RunConfig` of all runs, before a run's own fields.

        On all machines in float32, unless the study says otherwise.
        """
        defaults = {"data": "demo", "dtype": "float32"}
        return RunConfig(preset=self.baseline, **{**defaults, **self.training})

    @property
    def separate_lengths(self) -> bool:
        """Whether each length is a run of its own.

        It must be if the learning rate depends on the length of the run, as it does unless the
        schedule is T5's without a decay at the end.
        """
        config = self.base_config
        return config.schedule != "rsqrt" or bool(config.linear_decay_fraction)

    @property
    def vocabulary_rows(self) -> int:
        """Rows of the embedding."""
        return padded_vocabulary_size(self.base_config.vocabulary_size + SENTINELS)

    @property
    def tokens_per_step(self) -> int:
        """Tokens in a training step."""
        config = self.base_config
        return config.gradient_accumulation_steps * config.batch_size * config.sequence_length

    def flops_per_step(self, model: str, size: str = "") -> int:
        """Returns the training FLOPs of a step; see `architecture` for the arguments."""
        return self.tokens_per_step * self.cost(model, size).train_flops

    def steps(self, model: str, size: str = "", seconds: float | None = None) -> int:
        """Returns how many steps a model trains within the budget.

        Args:
            model: Name of the model.
            size: Name of the size. Defaults to the model's own.
            seconds: The measured seconds of a step, for a budget in seconds.

        Raises:
            UserError: The budget is too small.
        """
        amount, unit = self.budget["amount"], self.budget["unit"]
        if unit == "flops":
            amount = amount / self.flops_per_step(model, size)
        elif unit == "seconds":
            if seconds is None:
                raise UserError("A budget in seconds needs the measured times of a step.")
            amount = amount / seconds
        steps = round(amount)
        if steps < LEAST_STEPS:
            raise UserError(
                f"The budget {unit}:{self.budget['amount']:g} is {steps} steps of {model}; it must "
                f"be at least {LEAST_STEPS} to compare anything."
            )
        return steps

    def run_lengths(self, steps: int) -> list[int]:
        """Returns the steps of each run of a model that may train `steps` steps, ascending."""
        shares = sorted(self.lengths) if self.separate_lengths else [max(self.lengths)]
        return sorted({max(LEAST_STEPS, round(share * steps)) for share in shares})

    def point_steps(self, steps: int) -> list[int]:
        """Returns the steps after which the loss is a point of the scaling law, ascending."""
        return sorted({max(1, round(share * steps)) for share in self.lengths})

    def tuning_runs(self, seconds: Mapping[str, float] | None = None) -> list[Run]:
        """Returns the runs that choose each model's learning rate; see `runs`."""
        seed = max(self.seeds) + 1
        return [
            Run(
                model, size, max(self.run_lengths(self._steps(model, size, seconds))), seed, s, True
            )
            for size in self._ordered_sizes()
            for model in self.models
            for s in self.learning_rate_scales
        ]

    def runs(
        self,
        seconds: Mapping[str, float] | None = None,
        scales: Mapping[tuple[str, str], float] | None = None,
    ) -> list[Run]:
        """Returns the runs, those first that a report can do least without.

        All models with the first seed come before the second seed, and small sizes before large.

        Args:
            seconds: Dict from model to the measured seconds of a step, for a budget in seconds.
            scales: Dict from model and size to the chosen factor on the learning rate. Defaults to
                1 for all.
        """
        fixed = self.learning_rate_scales[0] if len(self.learning_rate_scales) == 1 else 1.0
        return [
            Run(model, size, steps, seed, (scales or {}).get((model, size), fixed))
            for seed in self.seeds
            for size in self._ordered_sizes()
            for model in self.models
            for steps in self.run_lengths(self._steps(model, size, seconds))
        ]

    def _steps(self, model: str, size: str, seconds: Mapping[str, float] | None) -> int:
        return self.steps(model, size, (seconds or {}).get(model))

    def _ordered_sizes(self) -> list[str]:
        def flops(size: str) -> int:
            return self.cost(self.baseline, size).train_flops

        return sorted(self.sizes, key=flops) if self.sizes else [""]

    def config(self, run: Run, vocabulary: StrPath) -> RunConfig:
        """Returns the configuration of a run.

        Args:
            run: The run.
            vocabulary: The SentencePiece model of the study.
        """
        config = self.base_config
        changes: dict[str, Any] = {}
        if "interval" not in self.training:
            changes["interval"] = default_interval(run.steps)
        for name in ("data", "validation_data"):
            if source := getattr(config, name):
                changes[name] = resolve_source(source)
        architecture = self.architecture(run.model, run.size)
        architecture["vocabulary_size"] = self.vocabulary_rows
        for name in ("dropout", "gradient_checkpointing"):  # They are fields of their own.
            architecture.pop(name, None)
        return dataclasses.replace(
            config,
            **changes,
            preset=run.name,
            architecture=architecture,
            vocabulary=str(vocabulary),
            steps=run.steps,
            seed=run.seed,
            learning_rate_scale=run.learning_rate_scale,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the definition for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def default_interval(steps: int) -> int:
    """Returns the steps between two evaluations: about 40 points on a curve."""
    return max(1, math.ceil(steps / 40))
