#!/bin/sh
# Watch the stream: sh watch.sh            Another hub: HUB_URL=http://localhost:5001 sh watch.sh
# A part of it:     sh watch.sh 'room=demo&type=transcript&type=agent_*'
# The past first:   sh watch.sh 'since=5m', or 'replay=20', or 'last_event_id=' with an id that you saw
# Only the JSON:    sh watch.sh | sed -un 's/^data: //p'

# -N, or curl keeps frames back where its output is a pipe; -g, or curl takes [ ] { } in a filter for its own.
exec curl -gsSN "${HUB_URL:-http://localhost:5000}/api/stream?${1-}"
