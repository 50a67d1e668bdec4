#!/bin/sh
# Post to the hub: sh post.sh            Another hub: HUB_URL=http://localhost:5001 sh post.sh
set -eu
HUB_URL=${HUB_URL:-http://localhost:5000}

# One event. The answer says how many were notified.
curl -sS -X POST "$HUB_URL/api/agent/data" \
  -H "Content-Type: application/json" \
  -d '{"type":"test","message":"Hello from curl"}'

# An event with an event_id can be sent again after a timeout: kept once, and the answer has the id of the first.
for try in first again; do
  curl -sS -X POST "$HUB_URL/api/agent/data" \
    -H "Content-Type: application/json" \
    -d '{"type":"transcript","room":"demo","role":"user","participant":"caller_1","text":"Hello?","final":true,"event_id":"example-'$$'"}'
done

# Many at once, an event a line: all of them or none. --data-binary, because -d would eat the line ends.
printf '%s\n' '{"type":"agent_speech_started","room":"demo"}' '{"type":"agent_speech_finished","room":"demo"}' |
  curl -sS -X POST "$HUB_URL/api/agent/data" \
    -H "Content-Type: application/x-ndjson" \
    --data-binary @-
