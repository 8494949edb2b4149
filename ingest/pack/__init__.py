"""From items to a sealed dataset: `tar` or `arrow`, and `ledger`, then `commit`, then `seal`."""
