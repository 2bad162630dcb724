"""`primer generate`: completes prompts."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from primer_tf.cli import options, sampling
from primer_tf.cli.compilation_cache import use_compilation_cache
from primer_tf.cli.load import HELP as PRESET
from primer_tf.cli.load import load
from primer_tf.cli.terminal import status
from primer_tf.errors import UserError
from primer_tf.training.config import COUNT

if TYPE_CHECKING:
    from primer_tf.models.completion import Completion

HELP = "Complete prompts."

# Completions that are generated together.
BATCH_SIZE = 16


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("preset", help=PRESET)
    parser.add_argument("--prompt", action="append", default=[], help="may be repeated")
    parser.add_argument("--prompt_file", help="a prompt a line; - is the standard input")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--max_length", type=int, help="tokens of prompt and completion")
    length.add_argument("--max_new_tokens", type=int, help="tokens of the completion")
    parser.add_argument(
        "--samples", type=int, default=1, help="completions of each prompt (default: %(default)s)"
    )
    sampling.add_sampling(parser)
    options.add_field(parser, "seed", help="seed of the sampler")
    parser.add_argument(
        "--draft",
        help="guess tokens and check several at a time: ngram, from the text itself, or a smaller "
        "preset of the same vocabulary",
    )
    parser.add_argument(
        "--stop", action="append", default=[], help="text to end before; may be repeated"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print an object a line: prompt, text, completion, finish_reason (stop or length)",
    )


def run(arguments: Namespace) -> None:
    """Prints each prompt with its completion, on a terminal as it grows."""
    sampling.check_sampling(arguments)
    COUNT.check(arguments.samples, "samples")
    if arguments.max_new_tokens is not None:
        COUNT.check(arguments.max_new_tokens, "max_new_tokens")
    if not all(arguments.stop):
        raise UserError("--stop is empty; give the text to end before.")
    name, settings = sampling.chosen_sampler(arguments)
    prompts = _prompts(arguments)
    options.check_field(arguments, "seed")

    use_compilation_cache()
    model = load(arguments.preset)
    from primer_tf.models.completer import Completer
    from primer_tf.samplers import make_sampler

    assert model.preprocessor is not None  # `load` checks it
    pieces, top_k = model.preprocessor.tokenizer.vocabulary_size(), settings.get("top_k", 0)
    if top_k > pieces:
        raise UserError(f"top_k {top_k} is beyond the {pieces} pieces of the vocabulary.")
    draft = arguments.draft
    if draft not in (None, "ngram"):
        draft = load(draft)
    model.compile(sampler=make_sampler(name, arguments.seed, **settings), draft=draft)
    completer = Completer(model, arguments.stop)
    max_length, max_new_tokens = arguments.max_length, arguments.max_new_tokens
    if max_new_tokens is not None:
        max_length = completer.length_for(prompts, max_new_tokens)
    complete = partial(completer, max_length=max_length, max_new_tokens=max_new_tokens)
    if len(prompts) * arguments.samples == 1 and not arguments.json and sys.stdout.isatty():
        _stream(complete, prompts)
        return
    rows = (prompt for prompt in prompts for _ in range(arguments.samples))
    while batch := list(islice(rows, BATCH_SIZE)):
        with status("Generating"):
            completions = complete(batch)
        for prompt, completion in zip(batch, completions, strict=True):
            print(_as_json(prompt, completion) if arguments.json else completion.text, flush=True)


def _prompts(arguments: Namespace) -> list[str]:
    prompts, name = list(arguments.prompt), arguments.prompt_file
    if not all(prompt.strip() for prompt in prompts):
        raise UserError("--prompt is empty; give the text to continue.")
    if name is not None:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
            text.encode("utf-8")  # The standard input may pass on bytes that are not text.
        except UnicodeError as error:
            raise UserError(f"{name} is not UTF-8 text; convert it.") from error
        prompts += [line for line in text.split("\n") if line.strip()]
    if not prompts:
        raise UserError("There is no prompt; give one with --prompt or --prompt_file.")
    return prompts


def _stream(complete: Callable[..., list["Completion"]], prompts: list[str]) -> None:
    """Prints one completion as it grows."""
    with ExitStack() as waiting:
        waiting.enter_context(status("Generating"))
        shown = False

        def show(completion: "Completion", text: str) -> None:
            nonlocal shown
            if not shown:
                waiting.close()
                text, shown = completion.text, True
            print(text, end="", flush=True)

        try:
            (completion,) = complete(prompts, on_text=show)
            if not shown:
                show(completion, "")
        finally:
            if shown:
                print()


def _as_json(prompt: str, completion: "Completion") -> str:
    fields = ("text", "completion", "finish_reason")
    return json.dumps({"prompt": prompt, **{name: getattr(completion, name) for name in fields}})
