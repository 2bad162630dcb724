"""Hugging Face's GPT-2, in PyTorch."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.harness import TINY


def build(model, length):
    """Returns a model with fresh weights."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=model["vocabulary_size"],
            n_layer=model["num_layers"],
            n_embd=model["hidden_dim"],
            n_inner=model["intermediate_dim"],
            n_head=model["num_heads"],
            n_positions=length,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )


def train_step(model, batch_size, length, steps=1, compiled=False, bfloat16=False):
    """Trains with Adam, if `bfloat16` is true under autocast."""
    network = build(model, length).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    forward = torch.compile(network) if compiled else network

    def run():
        for _ in range(steps):
            ids = torch.randint(3, model["vocabulary_size"], (batch_size, length))
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = forward(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    return run


def learn(steps, seed, rate, batches, bfloat16=False):
    """Returns a function that trains on the batches and returns what was reached."""
    import numpy as np

    from benchmarks.candidates import learning

    def run():
        text = np.load(batches)
        torch.manual_seed(seed)
        network = build(TINY, text["inputs"].shape[-1]).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), rate, betas=(0.9, 0.95), weight_decay=learning.WEIGHT_DECAY
        )
        forward = torch.compile(network)

        def loss(ids, targets, **options):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = forward(input_ids=torch.as_tensor(ids)).logits
            targets = torch.as_tensor(targets, dtype=torch.int64).reshape(-1)
            return torch.nn.functional.cross_entropy(
                logits.float().reshape(len(targets), -1), targets, **options
            )

        def step(ids, targets, rate):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss(ids, targets).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

        def nats(ids, targets, weights):
            with torch.no_grad():
                each = loss(ids, targets, reduction="none")
            return float((each.numpy() * weights.reshape(-1)).sum())

        return learning.learn(text, steps, rate, step, nats)

    return run


def generate(model, batch_size, prompt, new):
    """Decodes greedily with the library's cache."""
    network = build(model, prompt + new).eval()
    ids = torch.randint(3, model["vocabulary_size"], (batch_size, prompt))

    def run():
        with torch.inference_mode():
            outputs = network.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                pad_token_id=0,
            )
        return float(outputs.sum())

    return run


def score(model, batch_size, length):
    """Computes the loss of fixed texts."""
    network = build(model, length).eval()
    ids = torch.randint(3, model["vocabulary_size"], (batch_size, length))

    def run():
        with torch.inference_mode():
            return float(network(input_ids=ids, labels=ids).loss)

    return run


def evaluate(model, batch_size, contexts, requests):
    """Scores continuations with lm-eval's own model."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    from benchmarks.candidates.scoring_requests import make, total

    # HFLM needs a tokenizer, and the requests are tokens already.
    words = WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    network = build(model, 512).eval()
    harness = HFLM(
        network, tokenizer=tokenizer, batch_size=batch_size, max_length=512, device="cpu"
    )
    pairs = make(model["vocabulary_size"], contexts, **requests)
    asked = [((str(i), ""), *pair) for i, pair in enumerate(pairs)]
    return lambda: total(harness._loglikelihood_tokens(asked, disable_tqdm=True))
