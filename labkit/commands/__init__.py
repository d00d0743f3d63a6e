"""Commands of `labkit`, found through the entry-point group `labkit.commands`."""
