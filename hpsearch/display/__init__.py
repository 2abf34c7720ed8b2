"""What is shown while a study runs: in a terminal, in a notebook, or line by line."""
