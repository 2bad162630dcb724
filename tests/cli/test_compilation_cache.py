"""What XLA compiled is there for the next run, and nothing that is wrong with it ends one."""

import os
import subprocess
import sys

import pytest

from primer_tf.cli import compilation_cache
from primer_tf.cli.compilation_cache import LARGEST, use_compilation_cache

COMPILE = """
from primer_tf.cli.compilation_cache import use_compilation_cache
use_compilation_cache()
import tensorflow as tf
f = tf.function(lambda x: tf.linalg.matmul(x, x) + 1.0, jit_compile=True)
print(float(tf.reduce_sum(f(tf.ones([50, 50])))))
"""


def compile_in_a_process(folder):
    environment = {**os.environ, "PRIMER_TF_CACHE": str(folder), "TF_XLA_FLAGS": ""}
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


@pytest.fixture
def environment(monkeypatch):
    for name in ("TF_XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "PRIMER_TF_CACHE"):
        monkeypatch.setenv(name, "")  # So that what a test sets is undone.
        monkeypatch.delenv(name)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setattr(compilation_cache, "ACCELERATORS", ())
    return monkeypatch


def test_the_next_process_loads_what_one_compiled(tmp_path):
    assert compile_in_a_process(tmp_path) == 50 * 50 * 51
    (entry,) = tmp_path.rglob("*.pb")
    written, content = entry.stat().st_mtime_ns, entry.read_bytes()
    assert compile_in_a_process(tmp_path) == 50 * 50 * 51
    assert entry.stat().st_mtime_ns == written
    # What a computer leaves that lost its power; TensorFlow alone would end with an error.
    entry.write_bytes(content[:1000])
    assert compile_in_a_process(tmp_path) == 50 * 50 * 51
    assert len(entry.read_bytes()) == len(content)


def test_the_oldest_files_go(environment, tmp_path):
    environment.setenv("PRIMER_TF_CACHE", str(tmp_path))
    use_compilation_cache()
    (folder,) = tmp_path.iterdir()
    for age, name in enumerate(("new", "middle", "old")):
        with open(folder / name, "wb") as file:
            file.truncate(LARGEST // 2)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    (folder / "empty.pb").touch()
    use_compilation_cache()
    assert sorted(path.name for path in folder.iterdir()) == ["middle", "new"]


def test_the_user_chooses(environment, tmp_path):
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    environment.setenv("TF_XLA_FLAGS", "--tf_xla_enable_lazy_compilation=true")
    use_compilation_cache()
    flags = os.environ["TF_XLA_FLAGS"].split()
    assert len(flags) == 2 and str(tmp_path / "a/primer_tf") in flags[1]
    assert os.environ["JAX_COMPILATION_CACHE_DIR"].startswith(str(tmp_path / "a/primer_tf"))
    use_compilation_cache()
    assert os.environ["TF_XLA_FLAGS"].split() == flags
    environment.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    use_compilation_cache()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"


def test_accelerators(environment, tmp_path):
    environment.setattr(compilation_cache, "ACCELERATORS", ("null",))
    use_compilation_cache()
    assert "TF_XLA_FLAGS" not in os.environ and os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"
    environment.setenv("PRIMER_TF_CACHE", str(tmp_path))
    use_compilation_cache()
    assert "TF_XLA_FLAGS" in os.environ and os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


@pytest.mark.parametrize("folder", ["", "/proc/primer", "a folder with spaces"])
def test_no_folder(environment, tmp_path, monkeypatch, folder):
    """Nothing is kept, or only by JAX."""
    monkeypatch.chdir(tmp_path)
    environment.setenv("PRIMER_TF_CACHE", folder)
    use_compilation_cache()
    assert "TF_XLA_FLAGS" not in os.environ
    assert ("JAX_COMPILATION_CACHE_DIR" in os.environ) == (" " in folder)
