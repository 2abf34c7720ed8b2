"""What to do next: samplers, pruning, early stopping and decisions, all pure functions of History."""
