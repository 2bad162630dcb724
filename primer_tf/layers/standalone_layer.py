"""What a layer needs in other people's models."""

import inspect
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from primer_tf._compat import get_keras_mask

if TYPE_CHECKING:
    # Type checkers see what the mixin finds in the class that it is mixed into.
    from keras.layers import Layer as LayerBase
else:
    LayerBase = object

# Arguments of calls that may come from a layer with weights.
DIFFERENTIABLE = ("position_bias", "history")


class StandaloneLayer(LayerBase):
    """A mixin for a layer with the call argument `padding_mask`.

    The mask that Keras keeps with `x`, for example that of `Embedding(mask_zero=True)`, counts as
    part of the padding mask, as in `keras.layers.MultiHeadAttention`. Inside a decoder the context
    has the mask, and with a cache there is none.

    In a Functional model, a tensor with a value would be a constant. If a layer computed it, the
    weights of that layer would not train, so it is an error.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the layer."""
        x = args[0] if args else kwargs.get("x")
        mask, is_symbolic = get_keras_mask(x), isinstance(x, keras.KerasTensor)
        if mask is None and not is_symbolic:
            return super().__call__(*args, **kwargs)
        signature = inspect.signature(self.call)
        # Keras also passes `training` to layers without it.
        known = {name: kwargs[name] for name in kwargs if name in signature.parameters}
        given = signature.bind_partial(*args, **known).arguments
        if is_symbolic:
            self._check_not_constant(given)
        if mask is not None and given.get("context") is None and given.get("cache") is None:
            explicit = given.get("padding_mask")
            if explicit is not None:
                mask = ops.logical_and(ops.cast(explicit, "bool"), mask)
            given["padding_mask"] = mask
        return super().__call__(given.pop("x"), **{**kwargs, **given})

    def _check_not_constant(self, given: dict[str, Any]) -> None:
        for name in DIFFERENTIABLE:
            value = given.get(name)
            if isinstance(value, keras.Variable) or (
                ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)
            ):
                raise ValueError(
                    f"`{name}` of {type(self).__name__} has a value, so that a Functional model "
                    "would keep it as a constant and train no weights behind it; compute it from "
                    "an input of the model, as in `T5RelativePositionBias(num_heads)(x)`, or pass "
                    "a NumPy array."
                )
