"""Small models, built once."""

import pytest

from tests.models.small_models import VARIANTS, make_model


@pytest.fixture(scope="session")
def preprocessor(vocabulary):
    from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer

    return PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=24)


@pytest.fixture(scope="session", params=VARIANTS)
def model(request, preprocessor):
    return make_model(request.param, preprocessor)
