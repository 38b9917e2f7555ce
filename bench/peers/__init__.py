"""The processes that are measured. Each is a command of its own and knows nothing of the runner."""
