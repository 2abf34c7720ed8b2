"""One fine-tune: a resumable loop whose numbers are a pure function of config, rows, seed, model and numerics."""
