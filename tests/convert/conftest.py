"""Fixtures of the tests of conversion."""

import pytest


@pytest.fixture
def mesh(tf1_process):
    """A function that runs functions of `mesh_reference` in the TensorFlow 1 process."""
    from tests.convert.parity import MeshProcess

    return MeshProcess(tf1_process)


@pytest.fixture(scope="session")
def primer(vocabulary, tmp_path_factory):
    """A small Primer as a preset and as a Mesh TensorFlow folder."""
    from primer_tf.convert.keras_to_mesh import keras_to_mesh
    from tests.convert.small_presets import make_preset

    folder = tmp_path_factory.mktemp("primer")
    make_preset(folder / "preset", "tiny_primer", vocabulary)
    keras_to_mesh(folder / "preset", folder / "mesh", report=lambda line: None)
    return folder
