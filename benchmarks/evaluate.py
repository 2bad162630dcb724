"""How fast are the choices of lm-eval's tasks scored?

Each run scores the same tokens with the same batch size: by lm-eval's own model for Hugging Face,
and by `LogLikelihood`, which our model of lm-eval calls. Lengths are those of one-shot prompts:
HellaSwag has four choices for each context, and LAMBADA one.
"""

from benchmarks.harness import SMALL, SMOKE, machine, measure, options, report

KERAS = [("KerasHub GPT2, our LogLikelihood", "keras_hub_gpt2", {})]
PEERS = [*KERAS, ("HF GPT-2, lm-eval's HFLM", "hugging_face", {})]
LIKE_HELLASWAG = {"choices": 4, "context_lengths": (80, 240), "choice_lengths": (10, 40)}
LIKE_LAMBADA = {"choices": 1, "context_lengths": (160, 320), "choice_lengths": (1, 3)}

arguments = options(__doc__)
facts = machine(arguments.smoke)
model, contexts, batch_size = (SMOKE, 2, 2) if arguments.smoke else (SMALL, 32, 16)
OURS = [
    ("vanilla", "primer", {}),
    ("primer_ez", "primer", {"architecture": "primer_ez"}),
]
tables = {}
for title, requests in (("four choices", LIKE_HELLASWAG), ("one continuation", LIKE_LAMBADA)):
    tables[f"35M, {contexts} contexts, {title}"] = measure(
        "evaluate",
        OURS[:1] if arguments.smoke else [*OURS[:1], *PEERS, *OURS[1:]],
        {"model": model, "batch_size": batch_size, "contexts": contexts, "requests": requests},
        arguments.rounds,
    )
report("evaluate", facts, tables, arguments.output)
