"""The evaluation images that a dataset must not contain: `build`, `search`."""
