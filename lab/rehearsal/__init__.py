"""The product in the lab: stack files, runs of the real `pulumi`, the story that `make demo` tells."""
