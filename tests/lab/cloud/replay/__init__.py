"""Plays the recordings of a real OpenStack against the lab's cloud and compares every answer.

`recording` reads them, `world` is the cloud they are played against, `player` plays, `compare` judges, `exemptions` says what may differ
and why.
"""
