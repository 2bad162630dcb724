"""From a Keras preset to a checkpoint of Mesh TensorFlow."""

from pathlib import Path

import keras
import numpy as np

from primer_tf.convert.mesh_checkpoint import SLOTS, write_checkpoint
from primer_tf.convert.to_gin import to_gin
from primer_tf.convert.variable_names import mesh_names
from primer_tf.errors import UserError
from primer_tf.files import atomic_write
from primer_tf.models import PrimerCausalLM
from primer_tf.training.t5_adafactor import T5Adafactor
from primer_tf.training.training_state import restore_training_state


def keras_to_mesh(preset_dir, model_dir, report=print):
    """Converts a preset to a checkpoint that the T5 codebase trains on from, or decodes.

    Beside the checkpoint it writes the gin file of the model, `model.gin`, and the vocabulary,
    `vocabulary.model`.

    Args:
        preset_dir: A preset directory; the step and the optimizer's state in it, if any, go along.
        model_dir: Folder of the checkpoint, T5's `--model_dir`. Must hold no other checkpoint.
        report: Called with a line about what was converted, and one with the flags to use it.

    Returns:
        The checkpoint's path.

    Raises:
        UserError: The preset is incomplete, no gin file can describe the model, or `model_dir`
            holds a checkpoint.
    """
    model_dir = Path(model_dir)
    if (model_dir / "checkpoint").exists():
        raise UserError(f"{model_dir} holds checkpoints already; choose another folder.")
    model = PrimerCausalLM.from_preset(str(preset_dir), compile=False)
    if model.preprocessor is None:
        raise UserError(f"{preset_dir} has no trained weights; name a preset directory.")
    backbone = model.backbone
    gin_text = to_gin(backbone)
    names = mesh_names(backbone)
    optimizer = T5Adafactor()
    optimizer.build(backbone.weights)
    step = restore_training_state(preset_dir, backbone.weights, optimizer)

    def variables():
        for weight in backbone.weights:
            name = names[weight.path]
            yield name, np.asarray(keras.ops.convert_to_numpy(weight))
            for kind, slot in optimizer.slots(weight).items():
                yield name + SLOTS[kind], np.asarray(keras.ops.convert_to_numpy(slot))

    atomic_write(model_dir / "vocabulary.model", model.preprocessor.tokenizer.proto)
    atomic_write(model_dir / "model.gin", gin_text)
    path = write_checkpoint(model_dir, step, variables())
    report(f"Converted {preset_dir} (step {step}, {model.count_params():,} parameters) to {path}.")
    report(
        f"T5's flags for it: --model_dir={model_dir} --gin_file={model_dir}/model.gin "
        f"--gin_param=\"VOCABULARY='{model_dir}/vocabulary.model'\""
    )
    return path
