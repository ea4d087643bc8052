"""The record tables: hosts, tokens, events. `database.Records` is their face."""
