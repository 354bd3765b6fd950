"""Persons at the hosts: how they come in, and who has been there."""
