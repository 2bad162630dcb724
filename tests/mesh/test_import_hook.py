"""The import hook of T5's own commands acts when it must, and only then."""

import importlib
import importlib.util
import logging
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

import primer_tf
from primer_tf.mesh import runtime
from primer_tf.mesh.runtime import gin_files

HOOK = Path(primer_tf.__file__).parent / "import_hook.py"
TRIGGERS = ("t5", "mesh_tensorflow", "gin.tf")


@pytest.fixture
def hook(monkeypatch):
    """A function that runs the hook's file again, and the list of calls of `install`."""
    installed = []
    monkeypatch.setattr(runtime, "install", lambda: installed.append(True))
    # This Python may have started with the hook.
    finders = [finder for finder in sys.meta_path if "_Hook" not in repr(finder)]
    monkeypatch.setattr(sys, "meta_path", finders)

    def load():
        spec = importlib.util.spec_from_file_location("_hook_under_test", HOOK)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    return load, installed


def import_stand_in(name, folder, monkeypatch):
    """Imports an empty module with this name from a folder."""
    parts = name.split(".")
    for depth in range(len(parts)):
        package = folder.joinpath(*parts[: depth + 1])
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        # Unlike `delitem`, `setitem` makes `monkeypatch` remove the empty module after the test.
        module = ".".join(parts[: depth + 1])
        monkeypatch.setitem(sys.modules, module, None)
        del sys.modules[module]
    monkeypatch.syspath_prepend(str(folder))
    importlib.import_module(name)


@pytest.mark.parametrize("name", TRIGGERS)
def test_first_import_of_a_trigger_installs_once(name, hook, tmp_path, monkeypatch):
    load, installed = hook
    finders = list(sys.meta_path)
    load()
    import_stand_in("something_else", tmp_path, monkeypatch)
    assert not installed
    import_stand_in(name, tmp_path, monkeypatch)
    assert installed == [True]
    # The other one waits for lm-eval.
    (other,) = sys.meta_path[: -len(finders)]
    assert other.triggers == ("lm_eval.models",) and sys.meta_path[1:] == finders


def test_lm_eval_gets_the_model(hook, tmp_path, monkeypatch):
    """The registry keeps the name of the class, which is imported when it is asked for."""
    load, _ = hook
    load()
    import_stand_in("lm_eval.api.registry", tmp_path, monkeypatch)
    registered = {}
    registry = types.SimpleNamespace(
        register=lambda name, target: registered.update({name: target})
    )
    monkeypatch.setattr(
        sys.modules["lm_eval.api.registry"], "model_registry", registry, raising=False
    )
    assert not registered
    import_stand_in("lm_eval.models", tmp_path, monkeypatch)
    ((name, target),) = registered.items()
    module, attribute = target.split(":")
    assert name == "primer" and importlib.util.find_spec(module) is not None
    assert f"class {attribute}(" in Path(importlib.util.find_spec(module).origin).read_text()


def test_the_variable_switches_it_off(hook, tmp_path, monkeypatch):
    load, installed = hook
    monkeypatch.setenv("PRIMER_TF_NO_HOOK", "1")
    finders = list(sys.meta_path)
    load()
    assert sys.meta_path == finders
    import_stand_in("t5", tmp_path, monkeypatch)
    assert not installed


def test_an_error_is_logged_and_the_import_continues(hook, tmp_path, monkeypatch, caplog):
    load, _ = hook

    def fail():
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(runtime, "install", fail)
    load()
    with caplog.at_level(logging.ERROR, logger="primer_tf"):
        import_stand_in("t5", tmp_path, monkeypatch)
    (record,) = caplog.records
    assert "t5" in record.getMessage() and "broken on purpose" in record.getMessage()


def test_start_of_python_imports_almost_nothing():
    """Runs the file as `site` does, in a Python without site-packages."""
    code = f"import sys, runpy; runpy.run_path({str(HOOK)!r}); print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    for name in ("tensorflow", "gin", "primer_tf", "logging", "importlib.util._abc"):
        assert name not in printed


def test_existing_modules_are_left_alone(monkeypatch):
    """If TensorFlow has an Estimator and the other parts, nothing replaces them."""
    import tensorflow as tf
    import tensorflow.compat.v1 as tf1
    from tensorflow.python.framework import ops

    from primer_tf.mesh.runtime import modules, repairs

    real = types.SimpleNamespace(Estimator=object)
    monkeypatch.setattr(tf, "estimator", real, raising=False)
    monkeypatch.setattr(tf1, "estimator", real, raising=False)
    monkeypatch.setattr(tf1.data.experimental, "CheckpointInputPipelineHook", real, raising=False)
    monkeypatch.setattr(ops, "register_tensor_conversion_function", real, raising=False)
    monkeypatch.setattr(modules, "_importable", lambda name: True)
    before = dict(sys.modules)
    assert modules.supply() is False
    assert sys.modules == before
    assert tf.estimator is real and tf1.estimator is real
    assert tf1.data.experimental.CheckpointInputPipelineHook is real
    assert ops.register_tensor_conversion_function is real

    # T5 is not repaired either.
    monkeypatch.setattr(repairs, "apply_on_import", lambda: pytest.fail("repaired"))
    monkeypatch.setattr(runtime, "_installed", False)
    monkeypatch.setattr(gin_files, "search", lambda: None)
    runtime.install()


def test_nightly_builds_are_named(monkeypatch, caplog):
    distribution = metadata.distribution

    def with_nightly(name):
        return types.SimpleNamespace(name=name) if name == "tfds-nightly" else distribution(name)

    with caplog.at_level(logging.WARNING, logger="primer_tf"):
        runtime._warn_of_nightly_builds()
        assert not caplog.records
        monkeypatch.setattr(metadata, "distribution", with_nightly)
        runtime._warn_of_nightly_builds()
    (record,) = caplog.records
    assert "pip uninstall -y tfds-nightly &&" in record.getMessage()
