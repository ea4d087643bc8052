"""Bytes of the history: columns, chunks of rows, process tables and rollups. Pure functions, no I/O."""
