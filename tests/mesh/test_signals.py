"""T5's own command continues after signals have ended its process."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.mesh.tf1 import in_tf1

COMMAND = Path(sys.executable).with_name("t5_mesh_transformer")


@contextlib.contextmanager
def running(*args, **kwargs):
    """Yields the running command and the list of lines that it has printed so far."""
    from tests.mesh.command import arguments

    argv = [str(COMMAND), *arguments(*args, **kwargs)]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stderr.readline, "")))
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()


def wait_for(condition, process, lines, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, lines[-20:]
        time.sleep(0.05)


@pytest.mark.slow
@in_tf1
def test_sigterm_saves_and_sigkill_loses_what_came_after_a_checkpoint(tmp_path):
    import re

    from tests.mesh.command import corpus, t5

    model, data = tmp_path / "model", corpus(str(tmp_path))

    # SIGTERM, long before the first checkpoint is due.
    with running(model, "train", TRAIN_STEPS=10**6, **data) as (process, lines):
        wait_for(lambda: any(line.startswith("step 1 ") for line in lines), process, lines)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    assert any("stopped by SIGTERM after saving" in line for line in lines)
    saved = newest(model)
    assert saved > 1

    # SIGKILL, while the command saves every second step.
    often = {"utils.run.save_checkpoints_steps": 2}
    with running(model, "train", TRAIN_STEPS=10**6, **often, **data) as (process, lines):
        wait_for(lambda: newest(model) > saved + 4, process, lines)
        process.kill()
        process.wait()
    assert any(f"continuing from {model}/model.ckpt-{saved}" in line for line in lines)

    # The last checkpoint is complete, and training continues from it.
    killed = newest(model)
    printed = t5(model, "train", TRAIN_STEPS=killed + 2, **data)
    assert f"continuing from {model}/model.ckpt-{killed}" in printed
    assert re.search(rf"step {killed + 2}/{killed + 2}  loss \d", printed)


def newest(model):
    """Returns the step in the file `checkpoint`, or 0 if there is no checkpoint."""
    import re

    with contextlib.suppress(FileNotFoundError):
        found = re.search(r"ckpt-(\d+)", (model / "checkpoint").read_text())
        return int(found[1]) if found else 0
    return 0
