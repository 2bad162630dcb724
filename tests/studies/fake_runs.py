"""Studies whose runs are simulated, so that what is made of them can be tested in no time."""

import dataclasses

import numpy as np

from primer_tf.files import atomic_write
from primer_tf.studies.run_record import DIVERGED, FINISHED, record_path, write_record
from primer_tf.studies.shapes import shape
from primer_tf.studies.step_times import FILE as STEP_TIMES
from primer_tf.studies.study import Study
from primer_tf.studies.study_file import write_study
from primer_tf.studies.worker import VOCABULARY

ENVIRONMENT = {"python": "3.11", "backend": "none"}
SPEEDS = {"vanilla": 1.0, "primer_ez": 2.0, "plusplus": 1.4, "slow": 0.7}
MODELS = {
    "vanilla": {"preset": "tiny_transformer_vanilla"},
    "primer_ez": {"preset": "tiny_primer_ez"},
}


def compare_study(**changes):
    arguments = {
        "title": "A test",
        "kind": "compare",
        "models": MODELS,
        "baseline": "vanilla",
        "training": {
            "data": "demo",
            "vocabulary_size": 300,
            "batch_size": 4,
            "interval": 25,
            "linear_decay_fraction": 0.0,
        },
        "budget": {"unit": "steps", "amount": 1000},
        "seeds": [0, 1, 2],
    }
    return Study(**{**arguments, **changes})


def scale_study(**changes):
    shapes = ((64, 1), (96, 2), (128, 4), (192, 6))
    sizes = {f"{width}x{layers}": shape(width, layers) for width, layers in shapes}
    return compare_study(kind="scale", sizes=sizes, lengths=[0.25, 0.5, 1.0], **changes)


def start(study, folder):
    """Makes the folder of a study, with a vocabulary."""
    write_study(study, folder)
    atomic_write(folder / VOCABULARY, b"a vocabulary")
    return folder


class FakeRuns:
    """Does the runs of a study by formula.

    Args:
        study: The study.
        diverging: Names of models that diverge.
        fail_at: The number of the run at which the disk is full, or `None`.
    """

    def __init__(self, study, diverging=(), fail_at=None):
        self.study = study
        self.diverging = diverging
        self.fail_at = fail_at
        self.done, self.jobs = [], []

    def __call__(self, folder, job):
        if len(self.done) == self.fail_at:
            raise OSError(28, "No space left on device", str(folder))
        if job == "measure":
            base = {"vanilla": 0.1, "primer_ez": 0.12}
            rounds = {
                n: [base.get(n, 0.1) * (1 + 0.01 * i) for i in range(5)] for n in self.study.models
            }
            write_record(folder / STEP_TIMES, {"seconds": rounds, "environment": ENVIRONMENT})
            return
        self.jobs.append(job)
        for run in job:
            self.done.append(run)
            write_record(record_path(folder, run), self.record(run))

    def record(self, run):
        cost = self.study.cost(run.model, run.size)
        interval = self.study.training["interval"]
        steps = np.arange(interval, run.steps + 1, interval)
        generator = np.random.default_rng((run.seed, sum(map(ord, run.model + run.size))))
        best = 1.0 if run.learning_rate_scale == 2.0 else 1.05
        speed = SPEEDS.get(run.model, 1.0)
        size = cost.train_flops / 6
        tokens = steps * self.study.tokens_per_step
        losses = best * (1.0 + 60 * (speed * size) ** -0.25 + 40 * (speed * tokens) ** -0.35)
        losses = losses * np.exp(0.001 * generator.normal())
        diverges = run.model in self.diverging
        if diverges:
            steps, losses = steps[:2], losses[:2]
        return {
            "run": dataclasses.asdict(run),
            "status": DIVERGED if diverges else FINISHED,
            "message": f"{run.name}: Training has diverged." if diverges else None,
            "config": {},
            "vocabulary_sha256": "v",
            "tokens_sha256": "t",
            "parameters": cost.parameters,
            "train_flops_per_token": cost.train_flops,
            "tokens_per_step": self.study.tokens_per_step,
            "tokens_per_second": [1000.0] * len(steps),
            "curve": {
                "step": steps.tolist(),
                "loss": losses.tolist(),
                "validation_loss": losses.tolist(),
                "bits_per_byte": (losses / 2).tolist(),
            },
            "environment": ENVIRONMENT,
        }
