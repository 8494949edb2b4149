"""Protocols: plain functions on features and labels."""
