"""The layer stack of full Primer: normalization before attention, and after feed-forward."""

from mesh_tensorflow.transformer import transformer

from primer_tf.mesh.layers.published_name import published_name


@published_name
class PrePostNormLayerStack(transformer.LayerStack):
    """A layer stack that normalizes the input of even layers and the output of odd layers.

    The first of `sublayers_per_layer` must be the normalization. Layers 0, 2, ... (attention) apply
    the list unchanged. In layers 1, 3, ... (feed-forward) the normalization comes just after the
    layer, before dropout and residual (paper, appendix A.3).
    """

    def _layer_fn(self, x, layer, context):
        sublayers = self._sublayers_per_layer
        # Not by the context's index: recomputed gradients call this after the context has moved on.
        if self.layers.index(layer) % 2:
            sublayers = _normalize_output(sublayers)
        context.current_layer = layer
        context.current_layer_input = x
        y = self._call_sublayers(sublayers, x, context)
        if y.shape != x.shape:
            raise ValueError(f"{type(layer).__name__} turned {x.shape} into {y.shape}.")
        return y


def _normalize_output(sublayers):
    norm, *others = sublayers
    names = [getattr(sublayer, "__name__", "") for sublayer in others]
    if "sublayer_call_layer" not in names:
        raise ValueError(
            "sublayers_per_layer must start with the normalization and contain "
            f"sublayer_call_layer after it, got {names} after the first."
        )
    after_layer = names.index("sublayer_call_layer") + 1
    return [*others[:after_layer], norm, *others[after_layer:]]
