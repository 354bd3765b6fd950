"""What an interrupted `pulumi up` left in the cloud and in no state: found just before the same thing is created anew, and cleared.

A killed run can have asked the platform for a resource and died before the answer was recorded. Such a thing holds the fixed address
or the name that the next run wants. The rule for all kinds: only what bears our own name and what **nothing hangs on** is cleared (a
network without subnets, a port without a server, an empty bucket); data volumes never, an attachment only in a site that is not active and
from a server that was shut down for it. So a lost state file does not make anything disappear that is in use.
"""
