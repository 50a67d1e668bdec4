"""LiveKit API secrets with which anyone could sign tokens. Pure."""

from __future__ import annotations

WELL_KNOWN = frozenset({"secret", "secret1", "secret2", "a-secret-of-at-least-32-characters"})
"""That of `livekit-server --dev`, and those of the examples in LiveKit's documentation and in ours."""
SHORT = 32
"""Characters; HS256 wants a secret as long as its digest."""
_BETTER = "`livekit-server generate-keys` makes a better pair, for LiveKit and for this hub"
REFUSED = (
    "this secret is public, and everyone who can reach the hub could sign a token for any room with it: "
    f"{_BETTER}; or remove it, or keep to loopback"
)
WEAK = f"LIVEKIT_API_SECRET has fewer than {SHORT} characters and can be guessed: {_BETTER}"
