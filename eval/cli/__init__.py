"""The subcommands of `python -m eval`, by subject: each file adds its own to the parser."""
