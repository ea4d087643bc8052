"""One module per noun. Each has an `app`; it is imported when its command is called, and not before."""
