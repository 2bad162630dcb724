"""SeqIO tasks and text sources that both engines train on."""
