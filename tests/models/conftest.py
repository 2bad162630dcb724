"""Small models, built once."""

import pytest

from tests.models.small_models import VARIANTS, make_model


@pytest.fixture(scope="session")
def preprocessor(vocabulary):
    from primer_tf.models import PrimerCausalLMPreprocessor, PrimerTokenizer

    return PrimerCausalLMPreprocessor(PrimerTokenizer(vocabulary), sequence_length=24)


# Its cache is that of `transformer`.
SLOW = ("plusplus",)


@pytest.fixture(
    scope="session",
    params=[pytest.param(v, marks=[pytest.mark.slow] * (v in SLOW)) for v in VARIANTS],
)
def model(request, preprocessor):
    return make_model(request.param, preprocessor)
