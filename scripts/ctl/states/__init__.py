"""Pulumi's states: where they lie, what stands in them, who holds a lock there, and copies of them at the witness."""
