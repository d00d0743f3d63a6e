"""One private network per namespace: addresses and names (pure), and the process that holds it."""
