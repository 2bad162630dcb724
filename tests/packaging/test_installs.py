"""Every kind of installation finds the outer folders and the gin files."""

import ast
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

# Only finds the modules: importing `primer_tf.export` would import TensorFlow.
PROBE = """
from importlib import metadata
from importlib.util import find_spec
import primer_tf
from primer_tf import tasks
from primer_tf.tasks import text
for name in ("primer_tf", "primer_tf.tasks", "primer_tf.export", "primer_tf.layers", "gin"):
    print(find_spec(name).origin)
for name in ("benchmarks", "docs", "setup", "tests"):
    assert find_spec(f"primer_tf.{name}") is None, name
assert primer_tf.__version__ == metadata.version("primer_tf")
print(primer_tf.gin_directory() / "models" / "small_primer.gin")
"""


def run(command, cwd):
    """Runs a command without `PYTHONPATH`, and returns its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments, cwd):
    return run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], cwd)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, in which the build may leave files."""
    ignored = shutil.ignore_patterns(
        ".venv", ".git", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "golden"
    )
    return Path(shutil.copytree(CHECKOUT, tmp_path_factory.mktemp("copy") / "c", ignore=ignored))


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    pip("wheel", *options, checkout, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def make_environment(tmp_path_factory):
    """A function that makes virtual environments with this one's dependencies, but without ours."""

    def make(*install):
        folder = tmp_path_factory.mktemp("venv")
        run([sys.executable, "-m", "venv", "--without-pip", folder], folder)
        python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/python*/site-packages")
        # Python searches the folders of a `.pth` file last, and ignores their own `.pth` files.
        (packages / "shared.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
        pip("--python", python, "install", *options, *install, cwd=folder)
        return python, packages

    return make


@pytest.fixture(scope="module")
def installed_wheel(wheel, make_environment):
    return make_environment(wheel)


def test_wheel_holds_everything_and_nothing_else(wheel, checkout):
    expected = {"_primer_tf_import_hook.py", "primer_tf_import_hook.pth", "primer_tf/py.typed"}
    expected |= {"primer_tf/serving/page.html", "primer_tf/studies/report.html"}
    kinds = [("primer_tf", "py"), ("primer_tf", "yaml"), ("tasks", "py"), ("export", "py")]
    for folder, suffix in [*kinds, ("gin", "gin")]:
        for path in (checkout / folder).rglob(f"*.{suffix}"):
            name = str(path.relative_to(checkout))
            # What a server needs is no part of the package.
            if not name.startswith("export/serving/"):
                expected.add(name if folder == "primer_tf" else f"primer_tf/{name}")
    trained = [path for path in (checkout / "primer_tf/trained").rglob("*") if path.is_file()]
    expected |= {str(path.relative_to(checkout)) for path in trained}
    assert trained and max(path.stat().st_size for path in trained) < 8e6
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert len([name for name in names if name.endswith(".gin")]) > 30


def test_metadata(installed_wheel, tmp_path):
    """The wheel's metadata, as pip shows it."""
    code = "from importlib.metadata import metadata as m; print(m('primer_tf').json)"
    described = ast.literal_eval(run([installed_wheel[0], "-c", code], tmp_path))
    assert described["license_expression"] == "Apache-2.0"
    assert described["author"] == "The primer_tf authors"
    assert described["description"].startswith("# primer_tf")
    assert set(described["provides_extra"]) == {
        "demo",
        "dev",
        "eval",
        "jax",
        "parquet",
        "search",
        "serve",
        "studies",
        "t5",
    }


def check(printed, package, outer):
    """`package` holds `primer_tf`; `outer` holds the folders `tasks`, `export` and `gin`."""
    *found, gin_config, gin_file = map(Path, printed.split())
    names = [package / "__init__.py", outer / "tasks/__init__.py", outer / "export/__init__.py"]
    assert found == [*names, package / "layers/__init__.py"]
    assert gin_config.match("site-packages/gin/__init__.py")
    assert gin_file == outer / "gin/models/small_primer.gin"
    assert gin_file.is_file()


@pytest.mark.slow
def test_wheel_outside_of_the_checkout(installed_wheel, tmp_path):
    python, packages = installed_wheel
    package = packages / "primer_tf"
    check(run([python, "-c", PROBE], tmp_path), package, package)
    primer = python.parent / "primer"
    assert "usage: primer" in run([primer, "--help"], tmp_path)
    generate = ["generate", "tiny_primer_ez_english", "--prompt", "In the", "--max_new_tokens", 8]
    assert run([primer, *generate], tmp_path).startswith("In the ")


def test_wheel_and_python_in_the_root_of_the_checkout(installed_wheel, checkout):
    python, packages = installed_wheel
    check(run([python, "-c", PROBE], checkout), checkout / "primer_tf", checkout)
    # For a script, the checkout is not on Python's path, and the wheel must be complete.
    script = packages.parents[2] / "probe.py"
    script.write_text(PROBE)
    package = packages / "primer_tf"
    check(run([python, script], checkout), package, package)


def test_editable_install(checkout, make_environment, tmp_path):
    python, _ = make_environment("--editable", checkout)
    for folder in (tmp_path, checkout):
        check(run([python, "-c", PROBE], folder), checkout / "primer_tf", checkout)
    assert "usage: primer" in run([python.parent / "primer", "--help"], tmp_path)


def test_editable_install_and_python_in_the_root_of_another_checkout(
    checkout, make_environment, tmp_path
):
    python, _ = make_environment("--editable", checkout)
    other = Path(shutil.copytree(checkout, tmp_path / "other"))
    check(run([python, "-c", PROBE], other), other / "primer_tf", other)
