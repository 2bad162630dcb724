"""The `primer` command: parses arguments and calls the library."""

import argparse
import codecs
import io
import os
import sys
from contextlib import contextmanager

from primer_tf.errors import UserError, errors_of, first_line, preset_errors

CONVERT = "Convert between the checkpoints of the T5 codebase and Keras presets, bitwise."
SAMPLERS = ("greedy", "top_k", "top_p", "random", "beam", "contrastive")


def main(argv=None):
    """Runs the command and returns its exit status: 0, 1 for an error, 130 when interrupted.

    The environment variable PRIMER_TF_TRACEBACK, if set, brings back the tracebacks of errors.

    Args:
        argv: Arguments without the program's name; default: those of the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _printable():
        arguments = _parser().parse_args(argv)
        try:
            _check_text(arguments)
            arguments.run(arguments)
        except BrokenPipeError:
            # Whoever read the output has seen enough; what Python would still write must go
            # nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            print("primer: interrupted; `primer train --resume` continues a run", file=sys.stderr)
            return 130
        except Exception as error:
            if os.environ.get("PRIMER_TF_TRACEBACK"):
                raise
            print(f"primer: {' '.join(_explain(error).splitlines())}", file=sys.stderr)
            return 1
    return 0


def _explain(error):
    """Returns what to tell the user about an exception."""
    if isinstance(error, UserError):
        return f"error: {error}"
    if isinstance(error, OSError):
        if not error.strerror:
            return f"error: {error}"
        where = f" ({error.filename})" if error.filename else ""
        return f"error: {error.strerror}{where}; check the path, its permissions and the free space"
    # TensorFlow's name for it, which is not to be imported for its sake.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "error: not enough memory; take a smaller batch, sequence length or model"
    return (
        f"internal error: {type(error).__name__}: {first_line(error)}; please report it with the "
        "traceback that PRIMER_TF_TRACEBACK=1 shows"
    )


@contextmanager
def _printable():
    """Lets the block print any text, whatever the terminal's encoding.

    Characters that it lacks are printed as escapes such as `\\u2019`, and a line on the standard
    error says so.
    """
    escaped = False

    def escape(error):
        nonlocal escaped
        escaped = True
        return codecs.backslashreplace_errors(error)

    codecs.register_error("primer_tf.escape", escape)
    handlers = [(sys.stdout, "primer_tf.escape"), (sys.stderr, "backslashreplace")]
    strict = [
        (stream, handler)
        for stream, handler in handlers
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict"
    ]
    for stream, handler in strict:
        stream.reconfigure(errors=handler)
    try:
        yield
    finally:
        if escaped:
            print(
                f"primer: warning: characters that {sys.stdout.encoding} lacks were printed as "
                "escapes; set PYTHONIOENCODING=utf-8 to have them as they are",
                file=sys.stderr,
            )
        for stream, _ in strict:
            stream.reconfigure(errors="strict")


def _check_text(arguments):
    """Raises `UserError` unless every argument is text.

    Python hands on bytes that are not text in the terminal's encoding as surrogates.
    """
    for name, value in vars(arguments).items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str):
                try:
                    word.encode("utf-8")
                except UnicodeEncodeError:
                    raise UserError(f"{name} is not UTF-8 text: {ascii(word)}.") from None
                if "\0" in word:
                    raise UserError(f"{name} has a null character: {ascii(word)}.")


def _parser():
    parser = argparse.ArgumentParser(
        prog="primer", description="Train, evaluate, sample and export Primer language models."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    models = command("models", _models, "List the presets with their exact parameter counts.")
    models.add_argument(
        "--gin", action="store_true", help="what each gin file's model costs: FLOPs and memory"
    )

    vocab = command("vocab", _vocab, "Train a SentencePiece vocabulary with T5's special pieces.")
    vocab.add_argument("--data", required=True, help="demo, files or globs, seqio:TASK, tfds:NAME")
    vocab.add_argument("--size", type=int, default=8000, help="number of pieces (%(default)s)")
    vocab.add_argument("--output", required=True, help="file to write")

    train = command("train", _train, "Train a model; its preset lands in OUTPUT/preset.")
    train.add_argument("--output", required=True, help="folder of the run")
    train.add_argument("--resume", action="store_true", help="continue the run in OUTPUT")
    _add_gin_arguments(train, "instead of --preset and most of the options below")
    _add_run_arguments(train)

    convert = commands.add_parser(
        "convert", help="Convert between T5 checkpoints and Keras presets.", description=CONVERT
    )
    directions = convert.add_subparsers(dest="direction", required=True)
    to_keras = directions.add_parser("mesh-to-keras", help="from a T5 model_dir to a preset")
    to_keras.set_defaults(run=_mesh_to_keras)
    to_keras.add_argument("model_dir", help="folder of the checkpoints")
    to_keras.add_argument("preset", help="preset directory to write")
    _add_gin_arguments(to_keras, "default: the operative_config.gin in model_dir")
    to_keras.add_argument("--vocabulary", help="default: the one that the gin files name")
    to_keras.add_argument("--step", type=int, help="of the checkpoint; default: the newest")
    to_mesh = directions.add_parser("keras-to-mesh", help="from a preset to a T5 model_dir")
    to_mesh.set_defaults(run=_keras_to_mesh)
    to_mesh.add_argument("preset", help="preset directory")
    to_mesh.add_argument("model_dir", help="folder of the checkpoint to write")

    evaluate = command("evaluate", _evaluate, "Evaluate a trained preset on a text.")
    evaluate.add_argument("preset", help="preset directory")
    evaluate.add_argument(
        "--data", required=True, help="demo, files or globs, seqio:TASK, tfds:NAME"
    )
    evaluate.add_argument("--split", default="validation", choices=("train", "validation", "all"))
    evaluate.add_argument("--batch_size", type=int, default=16)

    generate = command("generate", _generate, "Complete a prompt.")
    generate.add_argument("preset", help="preset directory")
    generate.add_argument("--prompt", required=True, action="append", help="may be repeated")
    _add_sampling_arguments(generate)
    generate.add_argument("--seed", type=int, default=0, help="of the sampler (%(default)s)")

    export = command("export", _export, "Write a SavedModel for TensorFlow Serving.")
    export.add_argument("preset", help="preset directory")
    export.add_argument("directory", help="folder of the versions")
    _add_sampling_arguments(export)

    demo = command("demo", _demo, "Train on the demo text, draw, write, export, and serve.")
    demo.add_argument("--output", default="runs/demo", help="folder (%(default)s)")
    demo.add_argument("--steps", type=int, default=400, help="training steps (%(default)s)")
    return parser


def _add_gin_arguments(parser, default):
    parser.add_argument(
        "--gin_file", action="append", default=[], help=f"may be repeated, as T5's; {default}"
    )
    parser.add_argument(
        "--gin_param", action="append", default=[], help="binding; may be repeated, as T5's"
    )
    parser.add_argument(
        "--gin_location_prefix",
        type=lambda text: text.split(","),
        default=[],
        help="folders with gin files, separated by commas, as T5's",
    )


def _add_sampling_arguments(parser):
    parser.add_argument("--max_length", type=int, help="tokens of prompt and completion")
    parser.add_argument("--sampler", default="greedy", help=f"{', '.join(SAMPLERS)} (%(default)s)")


def _add_run_arguments(parser):
    """Adds the fields of `RunConfig`; absent ones stay absent: a resumed run keeps its own."""
    absent = argparse.SUPPRESS
    parser.add_argument("--preset", default=absent, help="name in the zoo, or a preset directory")
    parser.add_argument(
        "--data", default=absent, help="demo, files or globs, seqio:TASK, tfds:NAME"
    )
    parser.add_argument("--validation_data", default=absent, help="default: held out from --data")
    parser.add_argument(
        "--vocabulary", default=absent, help="SentencePiece model; default: trained"
    )
    for name, default in (
        ("vocabulary_size", 8000),
        ("steps", 1000),
        ("batch_size", 16),
        ("sequence_length", 128),
        ("interval", 100),
        ("warmup_steps", 1000),
        ("ramp_up_steps", 0),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=absent, help=f"default: {default}")
    for name, default in (("learning_rate_scale", 1.0), ("z_loss", 1e-4), ("dropout", 0.0)):
        parser.add_argument(f"--{name}", type=float, default=absent, help=f"default: {default}")
    parser.add_argument("--dtype", default=absent, help="policy; default: float32")
    parser.add_argument("--gradient_checkpointing", action="store_true", default=absent)


def _models(arguments):
    if arguments.gin:
        from primer_tf.models.cost import cost_table

        print(cost_table())
    else:
        from primer_tf.gin_config.presets import preset_table

        print(preset_table())


def _vocab(arguments):
    from primer_tf.data.vocabulary import train_vocabulary
    from primer_tf.files import atomic_write
    from primer_tf.tasks.text import load_split

    if not 1 <= arguments.size < 2**31:
        raise UserError(f"size must be at least 1 and below 2**31; received {arguments.size}.")
    documents = load_split(arguments.data, "train")
    atomic_write(arguments.output, train_vocabulary(documents, arguments.size))
    print(f"Wrote {arguments.output}.")


def _train(arguments):
    import dataclasses

    from primer_tf.training.run import RunConfig, load_config, train

    fields = {field.name for field in dataclasses.fields(RunConfig)}
    given = {key: value for key, value in vars(arguments).items() if key in fields}
    if arguments.resume:
        if arguments.gin_file or arguments.gin_param or arguments.gin_location_prefix:
            raise UserError("A resumed run keeps its own gin files; leave --gin_file out.")
        config = dataclasses.replace(load_config(arguments.output), **given)
    else:
        given = {**_described_run(arguments), **given}
        missing = [f"--{name}" for name in ("preset", "data") if name not in given]
        if missing:
            raise UserError(
                f"primer train needs {' and '.join(missing)}, or --gin_file, or --resume."
            )
        config = RunConfig(**given)
    train(config, arguments.output, resume=arguments.resume)


def _described_run(arguments):
    """Returns the fields of a `RunConfig` that gin files describe."""
    from primer_tf.gin_config import gin_reader
    from primer_tf.gin_config.model_arguments import backbone_arguments
    from primer_tf.gin_config.resolved_bindings import ResolvedBindings
    from primer_tf.gin_config.run_arguments import run_arguments

    files, bindings = arguments.gin_file, arguments.gin_param
    if not files:
        if bindings:
            raise UserError("--gin_param needs --gin_file.")
        return {}
    with errors_of(f"train what {', '.join(files)} describes"):
        resolved = ResolvedBindings(gin_reader.read(files, bindings, arguments.gin_location_prefix))
        architecture = backbone_arguments(resolved)
        return {
            "preset": files[0],
            "architecture": architecture,
            "dropout": architecture["dropout"],
            "gradient_checkpointing": architecture["gradient_checkpointing"],
            **run_arguments(resolved),
        }


def _mesh_to_keras(arguments):
    from primer_tf.convert.mesh_to_keras import mesh_to_keras

    mesh_to_keras(
        arguments.model_dir,
        arguments.preset,
        arguments.gin_file,
        arguments.gin_param,
        arguments.vocabulary,
        arguments.step,
        location_prefixes=arguments.gin_location_prefix,
    )


def _keras_to_mesh(arguments):
    from primer_tf.convert.keras_to_mesh import keras_to_mesh

    keras_to_mesh(arguments.preset, arguments.model_dir)


def _load(preset, sampler="greedy"):
    from primer_tf.models import PrimerCausalLM

    with preset_errors(preset):
        model = PrimerCausalLM.from_preset(preset)
    if model.preprocessor is None:
        raise UserError(f"Preset {preset!r} has no trained weights; train it first.")
    model.compile(sampler=sampler)
    return model


def _evaluate(arguments):
    if not 1 <= arguments.batch_size < 2**31:
        raise UserError(
            f"batch_size must be at least 1 and below 2**31; received {arguments.batch_size}."
        )

    from primer_tf.data.load_chunks import load_chunks
    from primer_tf.evaluation.evaluator import Evaluator
    from primer_tf.tasks.text import load_split

    model = _load(arguments.preset)
    splits = ("train", "validation") if arguments.split == "all" else (arguments.split,)
    preprocessor = model.preprocessor
    tokenizer, length = preprocessor.tokenizer, preprocessor.sequence_length
    for split in splits:
        documents = load_split(arguments.data, split)
        chunks, num_bytes = load_chunks(arguments.data, split, documents, tokenizer, length)
        evaluation = Evaluator(model, chunks, num_bytes, arguments.batch_size)()
        print(f"{split}: {evaluation}" if len(splits) > 1 else evaluation)


def _generate(arguments):
    _check_sampling(arguments)
    if not all(prompt.strip() for prompt in arguments.prompt):
        raise UserError("--prompt is empty; give the text to continue.")
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"seed must be at least 0 and below 2**32; received {arguments.seed}.")

    import keras

    model = _load(arguments.preset, arguments.sampler)
    keras.utils.set_random_seed(arguments.seed)
    for text in model.generate(list(arguments.prompt), max_length=arguments.max_length):
        print(text)


def _check_sampling(arguments):
    sampler, max_length = arguments.sampler, arguments.max_length
    if sampler not in SAMPLERS:
        raise UserError(f"Unknown sampler {sampler!r}; known: {', '.join(SAMPLERS)}.")
    if max_length is not None and max_length < 2:
        raise UserError(f"max_length {max_length} leaves no room for text; give at least 2.")


def _export(arguments):
    _check_sampling(arguments)

    from primer_tf.export import export_saved_model

    model = _load(arguments.preset, arguments.sampler)
    print(f"Wrote {export_saved_model(model, arguments.directory, arguments.max_length)}.")


def _demo(arguments):
    from primer_tf.demo import run_demo

    run_demo(arguments.output, arguments.steps)


if __name__ == "__main__":
    sys.exit(main())
