"""The model zoo as data: gin files, read as the arguments of a `PrimerBackbone`.

- `gin_search`: where gin files are found.
- `gin_reader`: the bindings of gin files, by gin's own parser, with none of T5 imported.
- `model_arguments`: what those bindings say about a model.
- `gin_writer`: the gin file that says the same about a model.
- `run_arguments`: what they say about a training run.
- `presets`: the files of `gin/models`, by name.

Nothing here imports TensorFlow or Keras.
"""
