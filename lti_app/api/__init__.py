"""The REST API: `labkit.remote`'s table of calls, answered by Flask. Knows nothing of LTI."""

from lti_app.api.blueprint import blueprint
from lti_app.api.callers import Authenticate, Bearer, Caller, HubTokens

__all__ = ["Authenticate", "Bearer", "Caller", "HubTokens", "blueprint"]
