"""Figures of this product beside those of its peers, each printed by one command."""
