"""Warm starts: machines as copies of one that was booted before."""
