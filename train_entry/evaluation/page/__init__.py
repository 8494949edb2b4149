"""The page of an evaluation: figures with intervals, what was published, what was cleaned."""
