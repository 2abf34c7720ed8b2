"""Spans: parts of a text that bear a name, found token by token."""
