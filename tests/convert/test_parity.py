"""From one gin file, Keras computes, trains and decodes the same as Mesh TensorFlow."""

import pytest

from primer_tf.convert.from_gin import from_gin
from primer_tf.gin_config.presets import preset_parameters
from tests.convert.parity import compare
from tests.mesh.paper_values import AS_PUBLISHED, PUBLISHED


@pytest.mark.slow  # A smaller model is compared in `test_described_models.py`.
@pytest.mark.parametrize("name", [*PUBLISHED, *AS_PUBLISHED])
def test_engines_agree(name, mesh):
    row = compare(name, mesh)
    assert not row.problems(), row


def test_one_number_in_a_gin_file_changes_both_engines(tmp_path, mesh):
    file = tmp_path / "wider.gin"
    file.write_text('include "models/small_primer.gin"\nd_ff = 2050\n')
    backbone = from_gin(file).backbone
    # Two columns, two biases and two rows more in each of 6 layers.
    expected = preset_parameters("small_primer") + 6 * 2 * (512 + 1 + 512)
    assert mesh("parameters", gin_file=str(file)) == backbone.count_params() == expected
