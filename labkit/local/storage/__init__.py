"""Disks that outlive machines: claims, data volumes, snapshots, and how machines use them."""
