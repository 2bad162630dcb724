"""The install command and the commands of the guide to T5 work in new virtual environments."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import readme

CHECKOUT = Path(__file__).parents[2]
BLOCKS = readme.code_blocks(readme.GUIDES / "t5.md")["In the T5 codebase"]
INSTALL, VOCABULARY, TRAIN, RUNS = BLOCKS
PACKAGE = '"primer_tf[t5,demo]"'

pytestmark = pytest.mark.slow


def shell(script, environment, cwd, status=0, **variables):
    """Runs a bash script with an environment's programs first, and returns its whole output."""
    variables = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}", **variables}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == status, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, in which the build may leave files."""
    ignored = shutil.ignore_patterns(
        ".venv", ".git", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"
    )
    return shutil.copytree(CHECKOUT, tmp_path_factory.mktemp("copy") / "c", ignore=ignored)


def new_environment(folder):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


def check_two_steps(environment, folder):
    """Checks that T5's command and ours start and train README.md's model."""
    shell(VOCABULARY, environment, folder)
    assert "--gin_file" in shell("t5_mesh_transformer --helpfull", environment, folder, status=1)
    train = readme.substitute(
        TRAIN, {"TRAIN_STEPS=200": "TRAIN_STEPS=2", "TOKENS_PER_BATCH=1024": "TOKENS_PER_BATCH=512"}
    )
    assert re.search(r"step 2/2  loss \d", shell(train, environment, folder))
    train = readme.substitute(train, {"t5_mesh_transformer": "primer-t5", "STEPS=2": "STEPS=4"})
    printed = shell(train, environment, folder, PRIMER_TF_NO_HOOK="1")
    assert "model.ckpt-2" in printed and re.search(r"step 4/4  loss \d", printed)


def test_wheel_installed_after_t5_and_before(checkout, tmp_path):
    environment = new_environment(tmp_path / "environment")
    shell(f"pip wheel -q --no-deps -w dist {checkout}", environment, tmp_path)
    (wheel,) = (tmp_path / "dist").iterdir()
    ours, t5 = readme.substitute(INSTALL, {PACKAGE: f"'{wheel}[t5,demo]'"}).split(" && ")
    shell(f"{t5} && {ours}", environment, tmp_path)
    check_two_steps(environment, tmp_path)
    # And in the documented order.
    shell(f"pip uninstall -q -y t5 && {ours} && {t5}", environment, tmp_path)
    assert "--gin_file" in shell("t5_mesh_transformer --helpfull", environment, tmp_path, status=1)


def test_editable_install_runs_the_commands_of_the_readme(checkout, tmp_path):
    environment = new_environment(tmp_path / "environment")
    shell(readme.substitute(INSTALL, {PACKAGE: f'-e "{checkout}[t5,demo]"'}), environment, tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()
    check_two_steps(environment, folder)

    # T5 can be imported only with the hook, no matter where Python starts.
    import_t5 = "python -c 'import t5.models; print(t5.models.MtfModel)'"
    assert "MtfModel" in shell(import_t5, environment, folder)
    assert "MtfModel" in shell(import_t5, environment, checkout)
    assert "estimator" in shell(import_t5, environment, folder, status=1, PRIMER_TF_NO_HOOK="1")

    short = ["TOKENS_PER_BATCH=512", "BATCHES=1", "EXAMPLES=2", "DECODE_LENGTH=4"]
    runs = readme.substitute(
        RUNS, {'"${@:2}"': '"${@:2}" ' + " ".join(f"--gin_param={value}" for value in short)}
    )
    printed = shell(runs, environment, folder)
    assert re.search(r"validation_\d+ at step 4: perplexity \d", printed)
    evaluation = folder / "m" / "validation_eval"
    task = "demo_autoregressive_language_modeling"
    assert len((evaluation / f"{task}_4_predictions").read_text().splitlines()) == 2
    for name in ("greedy", "sampled", "beam"):
        assert len((folder / f"{name}-4").read_text().splitlines()) == 2
    assert len((folder / "lines.scores").read_text().split()) == 2
    assert len((folder / "validation.scores").read_text().split()) == 2
    (version,) = (folder / "export").iterdir()
    assert (version / "saved_model.pb").exists()
    wrong = readme.substitute(TRAIN, {"models/tiny_primer.gin": "models/no_such.gin"})
    *_, last = shell(wrong, environment, folder, status=1).splitlines()
    assert last.startswith("error: ") and "models/no_such.gin" in last
