"""What `drctl` says of itself: the made parts of the documents, its manual page, what shells complete."""
