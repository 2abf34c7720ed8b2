"""Numbers as targets."""
