#!/bin/sh
# Post to the hub:  sh post.sh
# To another hub:   HUB_URL=http://localhost:5001 sh post.sh
# With a key:       HUB_KEY=… sh post.sh
set -eu
HUB_URL=${HUB_URL:-http://localhost:5000}

# One event. The answer gives the number of subscribers that it was sent to.
curl -sS ${HUB_KEY:+--oauth2-bearer "$HUB_KEY"} "$HUB_URL/api/agent/data" \
  -H "Content-Type: application/json" \
  -d '{"type":"test","message":"Hello from curl"}'

# An event with an event_id can be posted again after a timeout: it is stored once, and the answers have the same id.
for try in first again; do
  curl -sS ${HUB_KEY:+--oauth2-bearer "$HUB_KEY"} "$HUB_URL/api/agent/data" \
    -H "Content-Type: application/json" \
    -d '{"type":"transcript","room":"demo","role":"user","participant":"caller_1","text":"Hello?","final":true,"event_id":"example-'$$'"}'
done

# A batch, one event per line; it is atomic. --data-binary, because -d would strip the line breaks.
printf '%s\n' '{"type":"agent_speech_started","room":"demo"}' '{"type":"agent_speech_finished","room":"demo"}' |
  curl -sS ${HUB_KEY:+--oauth2-bearer "$HUB_KEY"} "$HUB_URL/api/agent/data" \
    -H "Content-Type: application/x-ndjson" \
    --data-binary @-
