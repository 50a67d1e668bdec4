"""Forwarding: every event on its way to other systems, a webhook receiver or a file, in order, and none left out.

`forwarding.py` is what the hub calls; a target (`targets.py`) has a follower (`follower.py`) with a place (`place.py`) and
a sink (`webhook.py`, `jsonl.py`; `sink.py` is their contract).
"""
