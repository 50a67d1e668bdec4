"""A conversation without a key, a network, a room or a sound card: the parts are scripted, the AgentSession is real."""
