"""Adapters of transformers' models, through peft."""
