"""What every layer may use: errors, settings, paths, clock, ids, times, units, logs. A short closed list."""
