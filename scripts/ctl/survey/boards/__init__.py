"""The boards of `contract/monitoring/panels.py` on a page of this machine, with the figures of a control host's Prometheus, through ssh."""
