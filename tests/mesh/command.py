"""Runs T5's command inside the TensorFlow 1 process."""

import contextlib
import io
import os

SMALL_MODEL = dict(d_model=16, num_heads=2, d_kv=8, d_ff=32, num_layers=1)
SMALL_BATCH = dict(
    TOKENS_PER_BATCH=128,
    MIXTURE_NAME="text_autoregressive_language_modeling",
)
SHORT = {"utils.run.sequence_length": {"inputs": 1, "targets": 32}}


class Failure(Exception):
    """The command ended with a non-zero exit status; the message is its output."""


def arguments(model_dir, run, *, model=None, hardware="cpu", flags=(), files=(), **bindings):
    """Returns the arguments of a `t5_mesh_transformer` command.

    Args:
      model_dir: The path of the model directory.
      run: The run file's name, such as `"train"`.
      model: The model file's name, or None for a small Primer.
      hardware: The hardware file's name.
      flags: Additional flags.
      files: Additional gin files.
      **bindings: Gin bindings by name.
    """
    defaults = SMALL_BATCH if model else {**SMALL_BATCH, **SMALL_MODEL}
    if run in ("train", "perplexity_eval", "score", "score_task"):
        defaults = {**defaults, **SHORT}
    names = [
        f"models/{model or 'tiny_primer'}.gin",
        f"run/{run}.gin",
        f"hardware/{hardware}.gin",
        *files,
    ]
    bindings = {**defaults, **bindings}
    return [
        f"--model_dir={model_dir}",
        *flags,
        *(f"--gin_file={name}" for name in names),
        *(f"--gin_param={key} = {value!r}" for key, value in bindings.items()),
    ]


def t5(*args, **kwargs):
    """Runs `t5_mesh_transformer` and returns its output on stderr; see `arguments`.

    Raises:
      Failure: If the command fails.
    """
    import gin
    from absl import flags as absl_flags
    from t5.models import mesh_transformer_main

    argv = ["t5_mesh_transformer", *arguments(*args, **kwargs)]
    for name in absl_flags.FLAGS:
        absl_flags.FLAGS[name].unparse()
    absl_flags.FLAGS(argv)
    gin.clear_config()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            mesh_transformer_main.main(argv[:1])
    except SystemExit as end:
        if end.code:
            raise Failure(printed.getvalue()) from None
    return printed.getvalue()


def failure(*args, **kwargs):
    """Returns the single line that a failing command ends with."""
    try:
        t5(*args, **kwargs)
    except Failure as error:
        lines = str(error).splitlines()
        assert sum(line.startswith("error: ") for line in lines) == 1, lines
        assert lines[-1].startswith("error: "), lines
        return lines[-1]
    raise AssertionError("the command succeeded")


def corpus(folder):
    """Writes a vocabulary of 284 pieces and a text; returns bindings that name them."""
    import random

    import sentencepiece

    draw = random.Random(0)
    words = ["light", "and", "the", "earth", "was", "void", "of", "deep", "waters", "upon", "said"]
    lines = [" ".join(draw.choices(words, k=12)) for _ in range(400)]
    text, model = os.path.join(folder, "text.txt"), os.path.join(folder, "pieces")
    with open(text, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    if not os.path.exists(model + ".model"):
        sentencepiece.SentencePieceTrainer.train(
            input=text,
            model_prefix=model,
            vocab_size=284,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    return dict(VOCABULARY=model + ".model", TRAIN_FILES=text)
