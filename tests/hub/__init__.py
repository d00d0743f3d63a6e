"""labkit under a real JupyterHub."""
