"""Repairs faults of T5 and Mesh TensorFlow in their modules as they are imported.

The installed files stay unchanged. The faults are:

- decoding writes `b'...'`, and scoring fails on bytes;
- scoring waits forever unless it is given a checkpoint step;
- an empty input file or a folder without checkpoints ends in a traceback;
- an exported language model ends the prompt before continuing it;
- an exported model's check of the number of texts has no effect;
- output files are written in place, so a reader may see half of one;
- `MtfModel.eval` writes to a folder that it does not create;
- convolutions compute something else in decoding than in training (`incremental_convolution`);
- errors that the user can fix end in a traceback;
- a task of the user cannot have the name of one of ours;
- tasks without a vocabulary of their own use T5's default, which must be downloaded.
"""

import functools
import importlib.abc
import importlib.machinery
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from primer_tf.errors import UserError
from primer_tf.mesh.runtime import checkpoints


def apply_on_import() -> None:
    """Repairs the modules of `REPAIRS`: imported ones now, the others when they are imported."""
    for name, repair in REPAIRS.items():
        if name in sys.modules:
            repair(sys.modules[name])
    sys.meta_path.insert(0, _RepairingFinder())


class _RepairingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules to repair, and repairs them once they are executed."""

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the module's spec with a loader that repairs the module, or None."""
        if name not in REPAIRS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                REPAIRS[name](module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _repair_mesh_utils(utils):
    utils.write_lines_to_file = write_lines
    utils.get_inputs_from_file = _checked_inputs(utils.get_inputs_from_file)
    utils.get_checkpoint_iterator = _checked_checkpoints(utils.get_checkpoint_iterator)
    utils.get_estimator = _ids_in_graph(_checked_mesh(utils.get_estimator))
    export_model = _counted_texts(utils.export_model, utils.transformer_dataset)
    utils.export_model = _unended_prompts(export_model, utils.transformer_dataset)
    for name in ("score_from_strings", "score_from_dataset"):
        setattr(utils, name, _scores_newest(getattr(utils, name)))


def _repair_mesh_layers(transformer_layers):
    from primer_tf.mesh.runtime import incremental_convolution

    incremental_convolution.repair(transformer_layers)


def _repair_t5_data_utils(utils):
    def get_default_vocabulary():
        """Returns the vocabulary that gin configures, T5's own by default."""
        from primer_tf.tasks.vocabulary import ConfiguredVocabulary

        return ConfiguredVocabulary()

    utils.get_default_vocabulary = get_default_vocabulary


def _repair_seqio(dataset_providers):
    registry = dataset_providers.DatasetProviderRegistry
    add_provider = registry.add_provider.__func__

    @classmethod
    def add_or_take_over(cls, name, provider):
        """Registers a provider, which may replace one of our tasks with the same name."""
        if getattr(cls._REGISTRY.get(name), "may_be_replaced", False):
            cls.remove(name)
        add_provider(cls, name, provider)

    registry.add_provider = add_or_take_over


def _repair_t5_main(main):
    from primer_tf.mesh.runtime.command import one_line_errors

    main.main = one_line_errors(main.main)


def _repair_t5_utils(utils):
    utils.write_lines_to_file = write_lines


REPAIRS = {
    "seqio.dataset_providers": _repair_seqio,
    "t5.data.utils": _repair_t5_data_utils,
    "mesh_tensorflow.transformer.transformer_layers": _repair_mesh_layers,
    "mesh_tensorflow.transformer.utils": _repair_mesh_utils,
    "t5.models.mesh_transformer_main": _repair_t5_main,
    "t5.models.utils": _repair_t5_utils,
}


def write_lines(lines: Iterable[object], filename: str) -> None:
    """Writes lines of text to a file that appears only when it is complete.

    As in Mesh TensorFlow, line breaks inside a line become spaces. Bytes are decoded as UTF-8.
    """
    import tensorflow as tf

    tf.io.gfile.makedirs(os.path.dirname(filename) or ".")
    partial = f"{filename}.partial"
    with tf.io.gfile.GFile(partial, "w") as output:
        output.write("")  # Creates the file even if there are no lines.
        for line in lines:
            if isinstance(line, bytes):
                line = line.decode("utf-8", errors="replace")
            output.write(str(line).replace("\n", " ") + "\n")
    tf.io.gfile.rename(partial, filename, overwrite=True)


def _checked_inputs(get_inputs_from_file: Callable) -> Callable:
    """Makes a missing or empty file of prompts, inputs or targets an error that names it."""

    @functools.wraps(get_inputs_from_file)
    def checked(input_filename, *args, **kwargs):
        import tensorflow as tf

        if not tf.io.gfile.exists(input_filename):
            raise UserError(f"There is no file {input_filename}.")
        if tf.io.gfile.isdir(input_filename):
            raise UserError(f"{input_filename} is a folder; name a file with one text per line.")
        try:
            lines = get_inputs_from_file(input_filename, *args, **kwargs)
        except UnicodeDecodeError:
            raise UserError(f"{input_filename} is not UTF-8 text.") from None
        if not any(line.strip() for line in lines):
            raise UserError(f"{input_filename} is empty; write one text per line into it.")
        return lines

    return checked


def _checked_checkpoints(get_checkpoint_iterator: Callable) -> Callable:
    """Makes a folder without checkpoints an error, unless the command waits for new ones."""

    @functools.wraps(get_checkpoint_iterator)
    def checked(checkpoint_step, model_dir, *args, **kwargs):
        if checkpoint_step is not None:
            checkpoints.required(model_dir)
        return get_checkpoint_iterator(checkpoint_step, model_dir, *args, **kwargs)

    return checked


def _checked_mesh(get_estimator: Callable) -> Callable:
    """Checks that a mesh fits its list of devices and the batch."""

    @functools.wraps(get_estimator)
    def checked(*args, **kwargs):
        call = inspect.signature(get_estimator).bind(*args, **kwargs).arguments
        mesh, devices = call["mesh_shape"], call.get("mesh_devices")
        if devices and len(devices) != mesh.size:
            raise UserError(
                f"The mesh {mesh.to_string} has {mesh.size} part(s) but utils.run.mesh_devices "
                f"names {len(devices)} device(s); make them equal."
            )
        layout = call["layout_rules"]
        import mesh_tensorflow as mtf

        parts = mtf.tensor_dim_to_mesh_dim_size(layout, mesh, mtf.Dimension("batch", 0))
        if call["batch_size"] % parts:
            raise UserError(
                f"A batch of {call['batch_size']} sequences cannot be divided among {parts} "
                "parts of the mesh; change utils.run.batch_size or utils.run.mesh_shape."
            )
        return get_estimator(*args, **kwargs)

    return checked


class _IdsInGraph:
    """A vocabulary that hides its `decode_tf` except in export.

    With `decode_tf`, the graph returns bytes, which Mesh TensorFlow writes as `b'...'` and fails to
    score. Without it, the graph returns ids, which Mesh TensorFlow decodes to text in Python.
    """

    exporting = False

    def __init__(self, vocabulary):
        self._vocabulary = vocabulary

    def __getattr__(self, name):
        if name == "decode_tf" and not _IdsInGraph.exporting:
            raise AttributeError(name)
        return getattr(self._vocabulary, name)


def _ids_in_graph(get_estimator: Callable) -> Callable:
    """Makes models return token ids, which are decoded in Python, except in export."""

    @functools.wraps(get_estimator)
    def wrapped(*args, **kwargs):
        bound = inspect.signature(get_estimator).bind(*args, **kwargs)
        vocabulary = bound.arguments["vocabulary"]
        bound.arguments["vocabulary"] = (
            tuple(map(_IdsInGraph, vocabulary))
            if isinstance(vocabulary, tuple)
            else _IdsInGraph(vocabulary)
        )
        return get_estimator(*bound.args, **bound.kwargs)

    return wrapped


def _unended_prompts(export_model: Callable, dataset_module: ModuleType) -> Callable:
    """Makes an exported language model continue its prompt, as in `infer` mode.

    Mesh TensorFlow's export appends the end-of-sequence id to every input.
    """

    def encode_without_eos(dataset, vocabulary):
        return dataset.map(
            lambda features: {key: vocabulary.encode_tf(text) for key, text in features.items()}
        )

    @functools.wraps(export_model)
    def wrapped(*args, **kwargs):
        call = inspect.signature(export_model).bind(*args, **kwargs).arguments
        encode = dataset_module.encode_all_features
        if call["model_type"] == "lm":
            dataset_module.encode_all_features = encode_without_eos
        _IdsInGraph.exporting = True
        try:
            return export_model(*args, **kwargs)
        finally:
            dataset_module.encode_all_features = encode
            _IdsInGraph.exporting = False

    return wrapped


def _counted_texts(export_model: Callable, dataset_module: ModuleType) -> Callable:
    """Makes an exported model refuse more texts than its batch has room for, and none at all.

    Mesh TensorFlow's export makes an assertion that nothing depends on.
    """

    @functools.wraps(export_model)
    def wrapped(*args, **kwargs):
        call = inspect.signature(export_model).bind(*args, **kwargs).arguments
        encode, most = dataset_module.encode_all_features, call.get("batch_size", 1)

        def encode_counted(dataset, vocabulary):
            import tensorflow as tf

            count = dataset.cardinality()
            fits = tf.logical_and(count >= 1, count <= most)
            message = f"this model takes 1 to {most} texts in a request"
            with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
                return encode(dataset, vocabulary)

        dataset_module.encode_all_features = encode_counted
        try:
            return export_model(*args, **kwargs)
        finally:
            dataset_module.encode_all_features = encode

    return wrapped


def _scores_newest(score: Callable) -> Callable:
    """Makes scoring use the newest checkpoint by default instead of waiting for more."""
    signature = inspect.signature(score)

    @functools.wraps(score)
    def wrapped(*args, **kwargs):
        bound = signature.bind_partial(*args, **kwargs)
        if bound.arguments.get("eval_checkpoint_step") is None:
            bound.arguments["eval_checkpoint_step"] = -1
        return score(*bound.args, **bound.kwargs)

    return wrapped
