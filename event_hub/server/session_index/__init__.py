"""The index of sessions: their summaries, words, errors, tool calls and percentile buckets, in a SQLite file beside the
history.

It is derived from the history alone. It may be deleted at any time: the hub builds it again.
"""
