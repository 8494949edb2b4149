"""From items to a sealed dataset: `tar` and `ledger`, then `commit`, then `seal`."""
