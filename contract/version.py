"""The version of the product: `drctl --version` says it, and each run leaves it at the witness."""

VERSION = "0.2.0"

SCHEMA = 1  # of what a host is told, and of what it answers
