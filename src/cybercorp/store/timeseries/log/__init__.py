"""Rows that are in no chunk yet: the append log and what of it is in memory."""
