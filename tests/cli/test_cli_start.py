"""The command answers at once what needs no TensorFlow."""

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "keras_hub", "numpy", "jax", "torch", "matplotlib", "seqio", "rich")


def run(code):
    """Runs Python code in a process; returns its CPU seconds and the heavy modules it imported."""
    code += f"\nimport sys\nprint('heavy:', *(m for m in {HEAVY} if m in sys.modules))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, done.stdout.split("heavy:")[1].split(), done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["generate", "--help"]])
def test_help(arguments):
    code = f"from primer_tf.cli import main\ntry: main({arguments})\nexcept SystemExit: pass"
    runs = [run(code) for _ in range(3)]
    assert min(seconds for seconds, _, _ in runs) < 0.3
    assert runs[0][1] == []
    assert "usage: primer" in runs[0][2]


def test_importing_the_package_is_cheap():
    code = "import primer_tf, primer_tf.errors, primer_tf.files, primer_tf.training.record"
    runs = [run(code) for _ in range(3)]
    assert min(seconds for seconds, _, _ in runs) < 0.3
    assert runs[0][1] == []


def test_unknown_sampler_and_empty_prompt_need_no_tensorflow():
    code = (
        "from primer_tf.cli import main\n"
        "assert main(['generate', 'x', '--prompt', 'And', '--sampler', 'best']) == 1\n"
        "assert main(['generate', 'x', '--prompt', '']) == 1"
    )
    assert run(code)[1] == []


def test_a_folder_without_a_run_needs_no_tensorflow(tmp_path):
    arguments = ["train", "--resume", "--output", str(tmp_path)]
    assert run(f"from primer_tf.cli import main\nassert main({arguments}) == 1")[1] == []


def test_the_installed_command(tmp_path):
    command = os.path.join(os.path.dirname(sys.executable), "primer")
    for start in ([command], [sys.executable, "-m", "primer_tf.cli"]):
        done = subprocess.run([*start, "--help"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0
        for name in ("models", "vocab", "train", "convert", "evaluate", "generate", "export"):
            assert f"  {name} " in done.stdout
