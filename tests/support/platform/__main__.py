"""`make demo-lti`: a course to click in, and labkit as its tool, both on this computer until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.platform.server import Platform

TOOL_PORT, COURSE_PORT = 8880, 8881
TOOL = f"http://localhost:{TOOL_PORT}"
"""Another site than the course's 127.0.0.1; browsers keep secure cookies of localhost without TLS."""
CLIENT = "demo"
LABKIT = str(Path(sys.executable).parent / "labkit")


def main() -> None:
    """Serve both, until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here = Path.home() / ".local/state"
    own = {
        "LABKIT_STATE_DIR": str(here / "labkit-demo-lti"),
        "LABKIT_IMAGES_DIR": os.environ.get("LABKIT_IMAGES_DIR", str(here / "labkit/images")),
        "LABKIT_PUBLIC_URL": TOOL,
        "LABKIT_PRIVATE_PLATFORMS": "true",
    }
    environment = {**os.environ, **own}
    platform = Platform(TOOL, port=COURSE_PORT)
    platform.client = platform.services.client = CLIENT
    known = subprocess.check_output([LABKIT, "lti", "platforms", "list", "--json"], env=environment)
    if CLIENT not in {one["client_id"] for one in json.loads(known)}:
        add = [LABKIT, "lti", "platforms", "add", platform.origin, "--client-id", CLIENT, "--deployment", "1"]
        subprocess.run([*add, "--name", "Demo course"], env=environment, check=True)
    for lab in ("hello-lab", "two-machines"):
        platform.site.activity("2", lab, lab=lab)
    print(f"The course: {platform.origin}/ (Ctrl-C ends it)", flush=True)
    with subprocess.Popen([LABKIT, "serve", "--port", str(TOOL_PORT)], env=environment) as service:
        try:
            service.wait()
        except KeyboardInterrupt:
            service.terminate()
            service.wait(60)
        finally:
            for word in ("up", "down"):  # machines outlive a service: what ends them has to run first
                subprocess.run([LABKIT, "engine", word], env=environment, check=False)


if __name__ == "__main__":
    main()
