"""Loops that make what runs match what is stored."""
