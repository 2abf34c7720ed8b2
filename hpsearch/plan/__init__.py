"""What is searched: arguments checked, rows prepared, folds, objective and keys; and what is kept of it."""
