"""A whole block that a program describes (Primer, section 3)."""

from primer_tf.sublayers.registry import LayerCost, Sublayer, pick, register_sublayer


def _layer(arguments):
    from primer_tf.programs.program_layer import ProgramLayer

    return ProgramLayer, pick(arguments, "program")


def _graph(arguments):
    from primer_tf.programs.graph import infer_graph
    from primer_tf.programs.program import Program

    return infer_graph(Program.from_json(arguments["program"]), arguments["hidden_dim"])


def _cost(arguments):
    from primer_tf.programs.cost import program_cost

    # All parts of the cost are linear in the number of keys.
    graph = _graph(arguments)
    one, two = (program_cost(graph, keys) for keys in (1, 2))
    flops_per_key = two.product_flops - one.product_flops
    activations_per_key = two.activations - one.activations
    return LayerCost(
        parameters=one.parameters,
        flops=one.product_flops - flops_per_key,
        activations=one.activations - activations_per_key,
        flops_per_key=flops_per_key,
        activations_per_key=activations_per_key,
        cache_values=arguments["hidden_dim"],
    )


def _check(arguments):
    if arguments["program"] is None:
        raise ValueError("The sublayer 'program' needs the argument `program`.")
    if arguments["dropout"]:
        raise ValueError(f"A program has no dropout; received {arguments['dropout']}.")
    _graph(arguments)


register_sublayer(
    Sublayer(
        name="program",
        layer=_layer,
        cost=_cost,
        axes={},  # Each device has a copy of the weights.
        num_heads=lambda a: _graph(a).num_heads,
        is_whole_block=True,
        check=_check,
    )
)
