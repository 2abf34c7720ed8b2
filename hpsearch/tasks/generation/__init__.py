"""What language tasks share: losses of tokens, generated answers, and the metrics of both."""
