"""What KubeVirt's own API adds: fields, admission, machine status, subresources."""
