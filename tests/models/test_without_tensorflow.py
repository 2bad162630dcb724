"""Models train and generate on JAX and PyTorch where TensorFlow is not installed."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # Importing them fails.

import numpy as np
from primer_tf.models import PrimerBackbone, PrimerCausalLM

sizes = {"num_layers": 1, "hidden_dim": 8, "intermediate_dim": 16, "num_heads": 1, "head_dim": 8}
model = PrimerCausalLM(PrimerBackbone(vocabulary_size=32, **sizes))
model.compile(sampler="greedy")
ids = np.full((2, 8), 3, "int32")
mask = np.arange(8)[None].repeat(2, axis=0) < 4
inputs = {"token_ids": ids, "padding_mask": mask.astype("int32")}
model.fit(inputs, ids, verbose=0)  # KerasHub makes the batches with grain.
print(model.generate(inputs, stop_token_ids=None)["token_ids"].shape)
"""


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.slow)])
def test_models_need_no_tensorflow(backend):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2, 8" in done.stdout
