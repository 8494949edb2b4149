"""Proof that a dataset is what it claims to be."""
