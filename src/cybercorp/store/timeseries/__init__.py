"""The time-series engine: an append log, column chunks, queries. `engine.TimeSeries` is its face."""
