"""The architecture search that found Primer (Primer, section 3): programs evolve by mutation."""
