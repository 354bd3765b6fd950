"""`dr-watch`: looks at the active region from several places, again and again, and decides whether it is lost; then tells people, or moves the shop.

A round is `looking.look` (questions side by side, `pulse.Pulse` the answers), `judging.Watch.feed` (pure: what has happened, if anything), and
`acting` (pages, a plan, a person's word, the very `drctl failover`). Whoever is cut off, sees a part, or meets a run at work decides nothing.
"""
