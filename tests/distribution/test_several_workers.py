"""Training by two workers of TensorFlow equals training on one device."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.distribution.meshes import ARCHITECTURES
from tests.distribution.several_hosts import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's strategies"),
]


def start(mesh, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.distribution.train_on_hosts", mesh],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    return json.loads(output.splitlines()[-1])


def test_losses():
    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
    configs = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    workers = [start("workers", TF_CONFIG=json.dumps(config)) for config in configs]
    found = list(map(losses, workers))
    expected = losses(start("none"))
    for architecture in ARCHITECTURES:
        for each in found:
            assert len(each[architecture]) == 20
            np.testing.assert_allclose(each[architecture], expected[architecture], rtol=1e-5)
