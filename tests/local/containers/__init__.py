"""Pods of containers: real runc, a tiny image made here, the real kubectl."""
