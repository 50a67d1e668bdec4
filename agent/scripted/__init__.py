"""Scripted conversations without a key, a network, a room or a sound card. The AgentSession is real."""
