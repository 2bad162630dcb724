"""The base of the mixins that `PrimerCausalLM` puts before KerasHub's `CausalLM`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Type checkers see what the mixins find in the class that they are mixed into.
    from keras_hub.models import CausalLM as CausalLMMixin
else:
    CausalLMMixin = object
