"""HUB_ALERTS: rules over the events of agents, and the events that tell when one is broken."""
