"""The part of packaging that needs code; the rest stands in pyproject.toml.

`tasks/`, `export/` and `gin/` sit at the top of the checkout because they are what users edit;
inside Python they are `primer_tf.tasks`, `primer_tf.export` and the data folder `primer_tf/gin`.

Beside the package goes a `.pth` file, by which Python runs `primer_tf/import_hook.py` at its
start; that makes T5's own commands work on a TensorFlow they were not written for, and
`lm_eval --model primer` find our model.
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
    source = "primer_tf/import_hook.py"

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
    cmdclass={"build": Build, "build_import_hook": BuildImportHook},
    packages=find_packages(include=["primer_tf", "primer_tf.*"])
    + ["primer_tf.tasks", "primer_tf.export"]
    + GIN_PACKAGES,
    package_dir={
        "primer_tf.tasks": "tasks",
        "primer_tf.export": "export",
        "primer_tf.gin": "gin",
    },
    package_data={
        "primer_tf": ["py.typed", "trained/*/*", "trained/*/assets/tokenizer/*"],
        "primer_tf.evaluation.gpt3": ["*.yaml"],
        "primer_tf.serving": ["page.html"],
        "primer_tf.studies": ["report.html"],
        **{package: ["*.gin"] for package in GIN_PACKAGES},
    },
)
