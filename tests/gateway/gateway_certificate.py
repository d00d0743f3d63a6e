"""A certificate for tests, signed by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """The files of a certificate for `name` and of its key."""
    found = folder / "certificate", folder / "key"
    words = ["-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-newkey", "ec"]
    words += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", str(found[0]), "-keyout", str(found[1])]
    subprocess.run(["openssl", "req", "-x509", *words], check=True, capture_output=True)
    return found
