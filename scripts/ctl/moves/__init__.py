"""Moves: what would happen and what it would cost first, then the very same `pulumi up` as by hand, then what is so now."""
