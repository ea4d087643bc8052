"""The agent: samples this machine once a second, keeps that in a spool, sends it until it is acknowledged."""
