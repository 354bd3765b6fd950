"""Where secrets lie that should not: everything a rehearsal has left is searched for every secret it knows, in the forms in which they travel."""
