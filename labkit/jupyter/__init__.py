"""labkit in Jupyter: labs as notebook objects, the lab view as a widget, the gateway behind jupyter-server-proxy."""
