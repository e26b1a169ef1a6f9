-- Real questions, one after the other, as bodies of POST /v1/search. QUERIES: a file with one JSON body a line.
local bodies = {}
for line in io.lines(os.getenv("QUERIES")) do bodies[#bodies + 1] = line end
local at = tonumber(os.getenv("FIRST") or "0")
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, "/v1/search", nil, bodies[at])
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT {\"requests\": %d, \"per_second\": %.1f, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f, \"not_2xx\": %d, \"broken\": %d}\n",
    summary.requests, summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
