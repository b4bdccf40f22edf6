"""Faults: real bot processes that are killed and made to stand still, and an oracle that reads what the neighbours kept."""
