"""How history is read: queries over rows and tiers, instants, spans."""
