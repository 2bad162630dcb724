"""What does saving cost the loop of training steps? On the backend that KERAS_BACKEND names.

Stretches of steps alternate: one after a checkpoint was started, one without. The difference, and
the time until `save` returns, are what the loop pays; what the writer does meanwhile is also in it.
"""

import shutil
import statistics
import tempfile
import time

import keras
import numpy as np

from benchmarks.harness import SMALL, SMOKE, options, write_json
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.optimizers import make_optimizer, make_schedule
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.config import RunConfig

arguments = options(__doc__)
sizes, steps = (SMOKE, 2) if arguments.smoke else (SMALL, 10)
batch_size, sequence_length = (2, 32) if arguments.smoke else (8, 128)

model = PrimerCausalLM(PrimerBackbone(**sizes))
schedule = make_schedule("cosine", 10_000, 1e-3, 100)
model.compile(make_optimizer("adamw", schedule, model.trainable_variables), NextTokenLoss())
rng = np.random.default_rng(0)
tokens = rng.integers(3, sizes["vocabulary_size"], (steps * batch_size, sequence_length))
x = {"token_ids": tokens.astype("int32"), "padding_mask": np.ones_like(tokens, "int32")}


def train():
    """Returns the seconds of a stretch of steps."""
    start = time.perf_counter()
    keras.Model.fit(model, x, tokens.astype("int32"), batch_size=batch_size, verbose=0)
    return time.perf_counter() - start


train()  # compiles
folder = tempfile.mkdtemp()
times = {"steps": [], "save": [], "steps while saving": [], "rest of the write": []}
try:
    with Checkpoints(folder, keep=1) as checkpoints:
        for step in range(1, arguments.rounds + 1):
            times["steps"].append(train())
            start = time.perf_counter()
            checkpoints.save(model, step)
            times["save"].append(time.perf_counter() - start)
            times["steps while saving"].append(train())
            start = time.perf_counter()
            checkpoints.wait()
            times["rest of the write"].append(time.perf_counter() - start)
finally:
    shutil.rmtree(folder)

median = {name: statistics.median(seconds) for name, seconds in times.items()}
for name, seconds in times.items():
    print(f"  {name:<20} {median[name]:7.3f} s  ({min(seconds):.3f}-{max(seconds):.3f})")
cost = median["save"] + median["steps while saving"] - median["steps"]
in_steps = cost / median["steps"] * steps
interval = RunConfig.interval
backend, count = keras.backend.backend(), model.count_params()
print(f"  {backend}: a checkpoint of {count:,} weights with AdamW costs")
print(f"  the loop {cost:.3f} s, {in_steps:.1f} steps of {batch_size} x {sequence_length} tokens:")
print(f"  {in_steps / interval:.2%} when saved every {interval} steps, as `primer train` does")
write_json("checkpoints", times, arguments.output)
