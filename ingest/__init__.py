"""Sources, fetching, decoding, fingerprints, evaluation index, packing: plain Python, no Beam."""
