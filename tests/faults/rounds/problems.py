"""How a round ends other than well."""


class Skipped(Exception):
    """The round cannot run here; the text says why."""


class RoundFailed(AssertionError):
    """What the round found: a line for each problem."""
