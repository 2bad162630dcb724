"""The table of configurables is that of the installed packages."""

from tests.mesh.tf1 import in_tf1


@in_tf1
def test_names_arguments_and_defaults_are_those_of_mesh_tensorflow():
    import importlib
    import inspect

    import gin
    from gin import config

    from primer_tf.gin_config.configurables import RUNS, known_configurables
    from primer_tf.gin_config.gin_reader import Reference
    from primer_tf.mesh import graphs
    from primer_tf.sublayers.gin_arguments import default_of

    for module in (
        "mesh_tensorflow.transformer.evolved_transformer",
        "mesh_tensorflow.transformer.moe",
        "mesh_tensorflow.transformer.utils",
        "t5.data.preprocessors",
        "t5.models.mesh_transformer",
        "primer_tf.mesh.continuation",
        "primer_tf.mesh.decoding",
        "primer_tf.mesh.devices",
        "primer_tf.mesh.layers",
        "primer_tf.tasks.seqio_tasks",
    ):
        importlib.import_module(module)
    graphs.parse()  # Mesh TensorFlow's own defaults
    for name, arguments in known_configurables().items():
        function = config._REGISTRY[name].wrapped
        parameters = inspect.signature(function).parameters
        extra = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for argument, rule in arguments.items():
            assert argument in parameters or extra, f"{name}.{argument}"
            if name in RUNS:
                continue
            default = default_of(rule)
            if isinstance(default, Reference | list):
                continue  # what a model is made of; test_model_arguments holds that
            try:
                actual = gin.query_parameter(f"{name}.{argument}")
                actual = getattr(actual, "_name", actual)
                if "dropout_rate" in argument and actual is not None:
                    actual = gin.query_parameter("dropout_rate/gin.macro.value")
            except ValueError:
                actual = parameters[argument].default if argument in parameters else default
            if default is None or actual is inspect.Parameter.empty:
                continue
            if isinstance(actual, int | float | str | bool):
                assert actual == default, f"{name}.{argument}: {actual!r}, not {default!r}"
