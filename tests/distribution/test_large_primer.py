"""The published Primer of 537 million parameters trains here, on one device and on two."""

import csv

import numpy as np
import pytest

from tests.distribution.run_module import run_module
from tests.distribution.several_hosts import environment

STEPS = 3
# Two virtual devices share the cores, and one may wait for the other longer than XLA expects.
PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds=600"


@pytest.mark.slow
def test_it_trains(request, text_file, tmp_path):
    """Needs 16 GB of memory and 20 of disk."""
    losses = {}
    for mesh, devices in (("data:1", 1), ("model:2", 2)):
        command = ["train", "--preset", "large_primer", "--data", text_file, "--mesh", mesh]
        command += ["--steps", STEPS, "--interval", 1, "--batch_size", 2, "--sequence_length", 64]
        command += ["--vocabulary_size", 300, "--gradient_checkpointing"]
        command += ["--learning_rate_scale", 0.1]
        output = tmp_path / mesh
        machine = environment(devices)
        machine["XLA_FLAGS"] += f" {PATIENCE}"
        printed = run_module(request, machine, "primer_tf.cli", *command, "--output", output)
        assert "536,685,056 parameters" in printed
        with open(output / "history.csv", newline="", encoding="utf-8") as file:
            losses[mesh] = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses["data:1"]) == STEPS and losses["data:1"][-1] < losses["data:1"][0]
    np.testing.assert_allclose(losses["model:2"], losses["data:1"], rtol=1e-5)
