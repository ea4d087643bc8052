"""Readings of this machine: one module per subject, reading and parsing apart. Never draws, knows no network."""
