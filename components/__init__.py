"""What is declared: one component a file."""

from components.sdk import SDKS, lighten

for _name in SDKS:
    lighten(_name)
