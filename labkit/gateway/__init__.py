"""The gateway: machines' screens, consoles and terminals for browsers that hold a ticket.

It is a server of its own, without a store: it verifies tickets by public key and asks the engine for the rest.
"""

from labkit.gateway.server import run

__all__ = ["run"]
