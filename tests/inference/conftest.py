"""The small models of the tests of `models`, each built once."""

from tests.models.conftest import model, preprocessor

__all__ = ["model", "preprocessor"]
