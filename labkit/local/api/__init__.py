"""The Kubernetes API: what a request means, and the answers. Knows nothing of QEMU."""
