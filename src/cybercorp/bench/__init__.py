"""The load generator: simulated agents and viewers that speak the real protocol, and what a server costs under them."""
