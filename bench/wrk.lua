-- One request, from the environment (BENCH_BODY: a file; without it a GET); one line of JSON at the end.
local file = os.getenv("BENCH_BODY")
if file and #file > 0 then
  wrk.method = "POST"
  wrk.body = assert(io.open(file, "rb")):read("*a")
  wrk.headers["content-type"] = "application/json"
end

done = function(summary, latency, requests)
  local failed = 0
  for _, count in pairs(summary.errors) do failed = failed + count end
  local seconds = summary.duration / 1000000
  print(string.format(
    '{"requests": %d, "events": 0, "errors": %d, "req_per_s": %f, "whole_p50_ms": %f, "whole_p99_ms": %f}',
    summary.requests, failed, summary.requests / seconds,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
