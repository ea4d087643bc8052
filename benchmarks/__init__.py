"""Benchmarks: `python -m benchmarks.NAME` runs one; `python -m benchmarks` runs all and writes the table."""
