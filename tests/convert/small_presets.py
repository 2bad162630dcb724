"""Small presets with optimizer state, for tests of conversion."""

import keras
import numpy as np

from primer_tf.convert.from_gin import from_gin
from primer_tf.convert.mesh_checkpoint import CheckpointWriter
from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer
from primer_tf.models.training_state import save_training_state
from primer_tf.optimizers import T5Adafactor

SMALL = [
    "num_layers = 2",
    "d_model = 16",
    "num_heads = 2",
    "d_kv = 8",
    "d_ff = 24",
    "dropout_rate = 0.1",
    "vocabulary_size = 384",
    'utils.run.sequence_length = {"inputs": 1, "targets": 32}',
]


def write_checkpoint(folder, step, variables):
    with CheckpointWriter(folder, step) as checkpoint:
        for name, array in variables:
            checkpoint.add(name, array)


def make_preset(path, name, vocabulary, bindings=()):
    """Writes a preset whose weights and optimizer state are all different numbers."""
    keras.utils.set_random_seed(0)
    experts = ["num_experts = 3"] if "switch" in name else []
    preprocessor = PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=32)
    model = from_gin(f"models/{name}.gin", [*SMALL, *experts, *bindings], preprocessor)
    rng = np.random.default_rng(0)
    optimizer = T5Adafactor(min_dim_size_to_factor=128)
    optimizer.build(model.backbone.weights)
    slots = [s for w in model.backbone.weights for s in optimizer.slots(w).values()]
    for weight in model.backbone.weights:
        weight.assign(rng.standard_normal(weight.shape))
    for slot in slots:  # second moments, which must not be negative
        slot.assign(np.square(rng.standard_normal(slot.shape)))
    optimizer.iterations.assign(17)
    model.save_to_preset(str(path))
    save_training_state(path, model.backbone.weights, optimizer)
    return model
