"""QEMU: arguments (pure), disks, processes, monitor, guest agent. The only place that knows it."""
