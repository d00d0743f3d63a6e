"""The cluster: the only part that uses the `kubernetes` client."""
