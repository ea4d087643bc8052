"""Pure primitives that both ends need: display-safe text, tokens, the local credential. No network, no database."""
