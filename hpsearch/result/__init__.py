"""What came of a study: the result, its report, its export, and comparisons."""
