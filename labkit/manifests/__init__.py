"""Template and work to Kubernetes objects: pure, tested by whole literal objects."""
