"""Tasks over causal language models: conversations, prompts with their completions, and plain texts."""
