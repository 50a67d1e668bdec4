"""What the processes that share a history know of each other: who is there, their subscribers and agents, and calls."""
