"""What is measured: metrics by name or function, resolved for a task."""
