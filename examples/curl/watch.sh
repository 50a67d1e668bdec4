#!/bin/sh
# Watch the stream: sh watch.sh
# Another hub:      HUB_URL=http://localhost:5001 sh watch.sh
# With a key:       HUB_KEY=… sh watch.sh
# Filtered:         sh watch.sh 'room=demo&type=transcript&type=agent_*'
# Past events too:  sh watch.sh 'since=5m', or 'replay=20', or 'last_event_id=' with the id of the last event you saw
# Only the JSON:    sh watch.sh | sed -un 's/^data: //p'

# -N: do not buffer output to a pipe. -g: do not interpret [ ] { } in a filter.
exec curl -gsSN ${HUB_KEY:+--oauth2-bearer "$HUB_KEY"} "${HUB_URL:-http://localhost:5000}/api/stream?${1-}"
