"""The pages of the documentation that are made from the code: options, metrics, tasks, commands, API, messages."""
