"""`labkit preview`: a template as learners see it, while it is being written. A server on loopback for one author."""

from labkit.preview.serving import serve

__all__ = ["serve"]
