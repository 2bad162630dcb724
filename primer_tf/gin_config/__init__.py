"""Gin files as the arguments of a `PrimerBackbone` and of a training run, and back.

- `gin_search`: where gin files are found.
- `gin_reader`: gin files as bindings, by gin's own parser, without importing T5.
- `configurables`: the configurables that a gin file may bind, and their arguments.
- `resolved_bindings`: the value of each argument, as gin itself would look it up.
- `model_arguments`: from bindings to the arguments of a `PrimerBackbone`.
- `gin_writer`: from these arguments to a gin file.
- `run_arguments`: from bindings to the fields of a `RunConfig`.
- `presets`: the files of `gin/models`, by name.

What is particular to one kind of sublayer is declared in `primer_tf.sublayers`. Nothing here
imports TensorFlow or Keras.
"""
