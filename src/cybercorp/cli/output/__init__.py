"""How data is printed: one definition of columns per noun, one renderer per format, plots."""
