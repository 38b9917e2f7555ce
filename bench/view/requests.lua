-- Asks as another person with each request: their sessions' cookies are lines of a file.
-- Arguments: the file, the name of the cookie.
-- wrk's own headers (-H) and path go into each request. What was found is printed as JSON.

local requests, at = {}, 0

function init(arguments)
  for cookie in io.lines(arguments[1]) do
    wrk.headers["Cookie"] = arguments[2] .. "=" .. cookie
    requests[#requests + 1] = wrk.format()
  end
end

function request()
  at = at + 1
  if at > #requests then
    at = 1
  end
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"answers":%d,"bytes":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,' ..
    '"not_200":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
