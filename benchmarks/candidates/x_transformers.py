"""x-transformers, in PyTorch."""

import importlib

import torch


def train_step(model, batch_size, length, steps=1):
    """Trains with Adam."""
    library = importlib.import_module("x_transformers")
    decoder = library.Decoder(
        dim=model["hidden_dim"],
        depth=model["num_layers"],
        heads=model["num_heads"],
        attn_dim_head=model["hidden_dim"] // model["num_heads"],
        ff_mult=model["intermediate_dim"] // model["hidden_dim"],
    )
    network = library.AutoregressiveWrapper(
        library.TransformerWrapper(
            num_tokens=model["vocabulary_size"],
            max_seq_len=length,
            tie_embedding=True,
            attn_layers=decoder,
        )
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def run():
        for _ in range(steps):
            # The wrapper has no target for the last token, but runs it too.
            ids = torch.randint(3, model["vocabulary_size"], (batch_size, length))
            loss = network(ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    return run
