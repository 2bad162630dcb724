#!/bin/sh
# Completes a prompt over REST: complete.sh PROMPT [HOST:PORT]
set -eu
body=$(printf '%s' "$1" | python3 -c 'import json, sys; print(json.dumps(sys.stdin.read()))')
curl --silent --show-error --fail-with-body --data "{\"instances\": [{\"prompts\": $body}]}" \
  "http://${2:-localhost:8501}/v1/models/primer:predict"
