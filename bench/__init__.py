"""The benchmark: `python -m bench` compares the hub with nchan. See bench/README.md."""
