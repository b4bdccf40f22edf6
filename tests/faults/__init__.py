"""Faults: real bot processes that are killed, frozen and cut off, and an oracle that reads what the neighbours kept."""
