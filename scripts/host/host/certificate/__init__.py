"""The shop's certificate where an ACME CA issues it (docs/decisions/0036): ordered on the bastion of the active site (`order`), handed over at the witness
as what only bastions and app hosts can open (`sealed`), taken and shown by each app host (`take`). Both are jobs of a timer, put there by `install`.
"""
