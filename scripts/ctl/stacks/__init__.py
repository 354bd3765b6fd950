"""The two stacks: their files, what they hold sealed, what they share in secret, and what pulumi knows of them."""
