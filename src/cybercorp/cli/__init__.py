"""The command line: `main.py` finds the command, `commands/` has one module per noun, `output/` one per format.

Data goes to stdout, talk to stderr. Only `launch/` starts programs.
"""
