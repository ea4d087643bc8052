"""The wire vocabulary: one module per noun, the envelope, the registry of messages. Frozen structs, no I/O."""
