"""Questions to a finished dataset: SQL over its records, all that is known of one image, proofs."""
