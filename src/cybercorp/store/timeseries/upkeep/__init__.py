"""What is done in the background: sealing, merging, rollups, retention, checks."""
