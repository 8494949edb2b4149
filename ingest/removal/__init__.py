"""Taking samples out after the fact: by request at once, from the shards for good; receipts."""
