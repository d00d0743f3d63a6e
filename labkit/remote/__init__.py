"""`Labs` over HTTP: the table of its calls, errors as JSON, and the client. The server is `lti_app/api`."""
