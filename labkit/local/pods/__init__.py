"""What can be asked of pods beside their objects: logs, and commands run in them."""
