"""Compares Keras and Mesh TensorFlow on the same gin file, weights and tokens.

`python -m tests.convert.parity` prints a row for each published gin file (two for full Primer). The
models are smaller but keep every part of the architecture. The command ends with an error if a row
is out of bounds.

- parameters: at full size, in Mesh TensorFlow and in Keras, and as published, in millions.
- logits, loss: the largest difference relative to the largest value.
- text: whether greedy decoding gives the same tokens.

The other columns compute everything in float64. In float32 a rounding error can move the input of
a ReLU across zero, and Adafactor scales even a tiny gradient to full size, so that two runs of the
same engine differ.

- logits64, gradients64: as above, gradients by variable.
- losses64: the largest relative difference in 20 steps of Adafactor from the same weights.
- weights64, slots64: after these steps, the norm of the difference relative to the norm, by
  variable.
"""

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass

import numpy as np

STEPS = 20
BATCH, LENGTH = 8, 64

# Wide enough that Adafactor factors its moments, but otherwise small.
REDUCED = [
    "num_layers = 2",
    "d_model = 128",
    "num_heads = 2",
    "d_kv = 64",
    "d_ff = 160",
    "vocabulary_size = 256",
    'utils.run.sequence_length = {"inputs": 1, "targets": 64}',
]
# Jitter is random, and rounding errors can change which tokens an expert drops.
SWITCH = ["num_layers = 1", "num_experts = 4", "MoE1D.switch_jitter = 0.0"]

BOUNDS = {
    "logits": 1e-4,
    "loss": 1e-4,
    # Rows agree to 1e-14, except those with GELU, of which TensorFlow keeps a constant in float32.
    "logits64": 1e-8,
    "gradients64": 1e-8,
    "losses64": 1e-8,
    "weights64": 1e-8,
    "slots64": 1e-8,
}


@dataclass
class Row:
    """The differences between the two engines on one gin file."""

    name: str
    differences: dict
    same_text: bool
    seconds: float

    def problems(self):
        """Returns a line for each value out of bounds."""
        found = [
            f"{key} differ by {value:.1e}, more than {BOUNDS[key]:.0e}"
            for key, value in self.differences.items()
            if not value <= BOUNDS[key]
        ]
        return found + ([] if self.same_text else ["greedy text differs"])


def compare(name, mesh):
    """Compares the two engines on one gin file.

    Args:
        name: Name of the gin file.
        mesh: A function that runs `mesh_reference.reference` in a TensorFlow 1 process.

    Returns:
        A `Row`.
    """
    start = time.monotonic()
    bindings = REDUCED + (SWITCH if "switch" in name else [])
    rng = np.random.default_rng(0)
    batches = rng.integers(3, 256, (STEPS + 1, BATCH, LENGTH)).astype("int32")
    prompts = np.zeros((3, LENGTH), "int32")
    for row, length in enumerate((9, 2, 5)):
        prompts[row, :length] = rng.integers(3, 256, length)
    model = dict(gin_file=f"models/{name}.gin", bindings=bindings)
    once = dict(model, batches=batches[:1], prompts=prompts)
    train = dict(model, batches=batches, dtype="float64")
    expected, expected64 = mesh(**once), mesh(**train)
    actual = in_keras(**once, weights=expected["weights"])
    with losses_in_float64():
        actual64 = in_keras(**train, weights=expected64["weights"])
    differences = {
        "logits": apart(actual["logits"], expected["logits"]),
        "loss": apart(actual["loss"], expected["loss"]),
        "logits64": apart(actual64["logits"], expected64["logits"]),
        "gradients64": worst(apart, actual64["gradients"], expected64["gradients"]),
        "losses64": float(np.max(np.abs(np.divide(actual64["losses"], expected64["losses"]) - 1))),
        "weights64": worst(norm_apart, actual64["trained"], expected64["trained"]),
        "slots64": worst(norm_apart, actual64["slots"], expected64["slots"]),
    }
    same_text = np.array_equal(actual["continuation"], expected["continuation"])
    return Row(name, differences, same_text, time.monotonic() - start)


@contextlib.contextmanager
def losses_in_float64():
    """Makes float64 the dtype in which Keras adds up losses."""
    import keras

    keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")  # Keras had made one of the other dtype.


def in_keras(gin_file, bindings, batches, weights, prompts=None, dtype="float32"):
    """Returns the results of `mesh_reference.reference` for the Keras model with these weights."""
    import keras
    import tensorflow as tf

    import primer_tf
    from primer_tf.convert.mesh_checkpoint import SLOTS
    from primer_tf.convert.variable_names import mesh_names

    keras.backend.clear_session()
    model = primer_tf.from_gin(gin_file, bindings=bindings, dtype=dtype)
    names = mesh_names(model.backbone)
    variables = {names[v.path]: v for v in model.backbone.weights}
    assert variables.keys() == weights.keys(), variables.keys() ^ weights.keys()
    for name, variable in variables.items():
        variable.assign(weights[name])

    def inputs(targets):
        shifted = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
        return {"token_ids": shifted, "padding_mask": np.ones_like(shifted)}

    with tf.GradientTape() as tape:
        logits = model(inputs(batches[0]), training=True)
        loss = model.compute_loss(None, batches[0], logits, training=True)
    tensors = [v.value for v in variables.values()]
    gradients = tape.gradient(loss, tensors)
    result = {
        "logits": logits.numpy(),
        "loss": loss.numpy(),
        "gradients": {
            k: tf.convert_to_tensor(g).numpy() for k, g in zip(variables, gradients, strict=True)
        },
        "losses": [],
    }
    if prompts is not None:
        result["continuation"] = greedy(model, prompts)
    if len(batches) == 1:
        return result
    for batch in batches[1:]:
        model.reset_metrics()
        result["losses"].append(
            model.train_on_batch(inputs(batch), batch, return_dict=True)["loss"]
        )
    result["trained"] = {k: v.numpy() for k, v in variables.items()}
    result["slots"] = {
        name + SLOTS[kind]: slot.numpy()
        for name, variable in variables.items()
        for kind, slot in model.optimizer.slots(variable).items()
    }
    return result


def greedy(model, prompts):
    """Returns prompts with their greedy continuations, `[batch, length]`, zero after the end."""
    model.compile(sampler="greedy", jit_compile=False, run_eagerly=False)
    ids = np.pad(prompts, ((0, 0), (1, 0)))
    mask = ids != 0
    mask[:, 0] = True
    outputs = model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=[1])
    ids, mask = (np.asarray(outputs[key]) for key in ("token_ids", "padding_mask"))
    return np.where(mask, ids, 0)[:, 1:]


def apart(actual, expected):
    """Returns the largest difference relative to the largest value."""
    return float(np.max(np.abs(actual - expected)) / np.max(np.abs(expected)))


def norm_apart(actual, expected):
    """Returns the norm of the difference relative to the norm."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def worst(distance, actual, expected):
    """Returns the largest distance between arrays of the same name."""
    assert actual.keys() == expected.keys(), actual.keys() ^ expected.keys()
    return max(distance(actual[name], expected[name]) for name in expected)


class MeshProcess:
    """Runs functions of `mesh_reference` in a process from `tf1.new_process`."""

    def __init__(self, process):
        self._process = process

    def __call__(self, function="reference", **kwargs):
        return self._process.submit(_run_in_tf1, function, kwargs).result()


def _run_in_tf1(function, kwargs):
    """Runs a function of `mesh_reference`; raises errors as text, because gin's do not pickle."""
    from tests.convert import mesh_reference

    try:
        return getattr(mesh_reference, function)(**kwargs)
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


def keras_parameters(name):
    """Returns the number of parameters of a preset, built without values."""
    import keras

    from primer_tf.models import PrimerBackbone

    with keras.StatelessScope(initialize_variables=False):
        return PrimerBackbone.from_preset(name).count_params()


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="gin files; default: all published ones")
    names = parser.parse_args().names
    # The processes inherit it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tests.mesh import tf1
    from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED

    mesh = MeshProcess(tf1.new_process())
    published = {**PUBLISHED, **AS_PUBLISHED}
    header = "".join(f"{key:>12}" for key in BOUNDS)
    columns = f"{'Mesh':>12}{'Keras':>12}{'published':>10}"
    print(f"{'gin file':<31}{columns}{header}  text  seconds", flush=True)
    failed = []
    for name in names or published:
        counts = mesh("parameters", gin_file=f"models/{name}.gin"), keras_parameters(name)
        row = compare(name, mesh)
        cells = "".join(f"{value:>12.1e}" for value in row.differences.values())
        text = "same" if row.same_text else "DIFF"
        columns = f"{counts[0]:>12,}{counts[1]:>12,}{published.get(name, ''):>9}M"
        print(f"{name:<31}{columns}{cells}  {text}  {row.seconds:>7.0f}", flush=True)
        problems = row.problems()
        if counts[0] != counts[1]:
            problems.append("numbers of parameters differ")
        failed += [f"{name}: {problem}" for problem in problems]
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
