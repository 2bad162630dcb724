"""Parallel layouts over several CPU devices train as one device does."""

import contextlib
import shutil
from unittest import mock

import pytest

from tests.mesh.tf1 import in_tf1


@contextlib.contextmanager
def kernels_by_device():
    """Yields the set of devices that run matrix products inside the context."""
    import tensorflow.compat.v1 as tf

    run, devices = tf.Session.run, set()

    def traced(session, fetches, feed_dict=None, options=None, run_metadata=None):
        metadata = tf.RunMetadata()
        trace = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        result = run(session, fetches, feed_dict, trace, metadata)
        for stats in metadata.step_stats.dev_stats:
            if any("einsum" in node.node_name.lower() for node in stats.node_stats):
                devices.add(stats.device)
        return result

    with mock.patch.object(tf.Session, "run", traced):
        yield devices


@pytest.mark.slow
@in_tf1
def test_layouts_train_as_one_device_and_use_every_device(tmp_path):
    import re

    import numpy as np

    from tests.mesh.command import corpus, t5

    data = dict(
        corpus(str(tmp_path)), **{"mesh_train_dataset_fn.seed": 3, "run.save_checkpoints_steps": 50}
    )
    start = tmp_path / "start"
    t5(str(start), "train", TRAIN_STEPS=1, **data)
    losses = {}
    for mesh, devices in (("", 1), ("batch:2", 2), ("model:2", 2), ("batch:2,model:2", 4)):
        model = tmp_path / f"model{devices}{mesh[:5]}"
        shutil.copytree(start, model)
        with kernels_by_device() as placed:
            printed = t5(
                str(model), "train", hardware="cpu_mesh", MESH=mesh, TRAIN_STEPS=21, **data
            )
        assert len(placed) == devices, placed
        losses[mesh] = float(re.search(r"step 21/21  loss ([\d.]+)", printed)[1])
    for mesh, loss in losses.items():
        np.testing.assert_allclose(loss, losses[""], rtol=1e-3, err_msg=mesh)
