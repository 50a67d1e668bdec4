"""From the log to the sockets: what has been published, and the two ways of writing it to a subscriber."""
