"""The command line `event-hub`."""
