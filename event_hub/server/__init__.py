"""The hub: takes events, keeps them, fans them out. Imports `event_hub.events`; never livekit, client or agent."""
