"""The calls of `Labs` on reservations: room and spares for a class or an exam. For operators."""

from __future__ import annotations

import time

from labkit.errors import Conflict, Forbidden, LabkitError, NotFound
from labkit.model import Principal, Reservation, Role
from labkit.orchestrator import admission, lifetimes
from labkit.orchestrator.asking import Asking
from labkit.store import new_id


class Booking(Asking):
    """The part of `DirectLabs` that has to do with reservations."""

    def reserve(
        self, principal: Principal, activity: str, *, begins: float, ends: float | None, labs: int, spares: int
    ) -> Reservation:
        _operator(principal)
        if labs < 0 or spares < 0 or not labs + spares:
            raise LabkitError("reserve room for at least one lab, or at least one spare")
        if ends is not None and ends <= max(begins, time.time()):
            raise LabkitError("a reservation must end after it begins, and not in the past")
        known = self._store.template_of(activity)
        template = known or self._around.templates.resolve(activity)
        activity = activity if known else template
        terms = lifetimes.terms(self._around.templates.check(template), self._around.limits, wait=False)
        new = Reservation(new_id(), activity, template, begins, ends, labs, spares, terms.memory)
        if labs and (why := admission.overbooked(new, self._store.reservations(), self._around.limits)):
            raise Conflict(why)
        self._store.reserve(new)
        return new

    def unreserve(self, principal: Principal, reservation: str) -> None:
        _operator(principal)
        if not self._store.unreserve(reservation):
            raise NotFound(f"there is no reservation {reservation!r}; `labkit reservations list` shows all")

    def reservations(self, principal: Principal) -> list[Reservation]:
        _operator(principal)
        return self._store.reservations()


def _operator(principal: Principal) -> None:
    if principal.role is not Role.OPERATOR:
        raise Forbidden("reservations are for operators")
