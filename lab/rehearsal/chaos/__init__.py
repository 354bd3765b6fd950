"""Random faults: a story is drawn from a seed, played against a pair of regions with customers at work, and held against what must always be so.

`story.py` what a story is, `catalogue.py` what can go wrong, `draw.py` from a seed to a story, `harms.py` how it is done in the lab,
`operators.py` what people type, `recovery.py` the way back by the documents, `eyes.py` what is looked at, `invariants.py` what must hold,
`play.py` one story from its beginning to its verdict, `run.py` many of them.
"""
