"""Forwarding: every event to other systems, webhook receivers or files, in order and without omissions.

The hub calls `forwarding.py`. Each target (`targets.py`) has a follower (`follower.py`) with a checkpoint
(`checkpoint.py`) and a sink (`webhook.py` or `jsonl.py`; `sink.py` is their contract).
"""
