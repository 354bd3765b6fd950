"""Releases of the shop: built on the operator's machine or in CI, kept in the buckets of both regions."""
