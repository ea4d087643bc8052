"""The client library: one façade per noun over HTTP, live subscriptions over WebSocket, and the agent's connection.

Command line, dashboard, agent and every script use only this. The core is async; `Client` drives the same code
without a loop.
"""
