"""How fast the hub is: `python -m bench` measures it beside nchan, see bench/README.md."""
