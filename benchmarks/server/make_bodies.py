"""Bodies of POST /v1/search from questions: `make_bodies.py tot_dev.jsonl > bodies.jsonl` (fields `text`, `source`)."""
import json
import sys

for line in open(sys.argv[1], encoding="utf-8"):
    print(json.dumps({"query": json.loads(line)["text"][:16000], "limit": 10, "explain": True, "ask": True}))
