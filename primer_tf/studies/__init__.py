"""Studies: whether an architecture trains cheaper, by how much, and how that scales."""
