"""The machines of a preview: a lab of the template, begun once nothing is wrong with it, and ended with the preview."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from labkit import app
from labkit.errors import LabkitError
from labkit.preview.draft import Draft
from labkit.settings import Settings
from labkit.view import View

_TRY_SECONDS = 1.0


class Machines:
    """The lab of one preview. `view` is None until it has been begun."""

    def __init__(self, settings: Settings, folder: Path, progress: Callable[[str], None]) -> None:
        self._settings, self._folder, self._progress = settings, folder, progress
        self._principal = app.local_principal()
        self._labs: app.Labs | None = None
        self.view: View | None = None
        self.lab = ""

    @property
    def gateway(self) -> Path:
        """Where the panes' pages come from."""
        return self._settings.gateway_socket

    async def keep(self, draft: Draft) -> None:
        """Begin the lab as soon as the draft has no faults, then see to it that somebody works on it."""
        while True:
            if self.view is None and not draft.faults:
                try:
                    await asyncio.to_thread(self._begin)
                    draft.tell("")
                except LabkitError as error:
                    if draft.notice != (notice := f"The machines could not be started: {error}"):
                        draft.tell(notice)
            elif self.view is not None:
                await asyncio.to_thread(app.wake, self._settings)
            await asyncio.sleep(_TRY_SECONDS)

    def _begin(self) -> None:
        self._labs = self._labs or app.open_labs(self._settings, progress=self._progress)
        activity = f"preview-{secrets.token_hex(4)}"
        self.lab = self._labs.start(self._principal, str(self._folder), activity=activity).lab
        self.view = View(self._labs, self._principal, self.lab)

    def end(self) -> None:
        """End the lab, and wait until nothing of it is left."""
        if self._labs is not None and self.lab:
            self._progress(f"Ending lab {self.lab}")
            operation = self._labs.stop(self._principal, self.lab)
            for _event in app.follow(self._labs, self._principal, operation, self._settings):
                pass
