"""Records of moves, drills, deploys and rotations: made, signed, kept in a chain at the witness, walked and shown (docs/reports.md)."""
