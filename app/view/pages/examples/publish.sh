#!/bin/sh
# Sends one event. Sending it again does no harm: its source and id say that it is the same.
set -eu

curl --fail-with-body --silent --show-error --retry 3 \
  --header "Authorization: Bearer $YUEKANG_TOKEN" \
  --header "Content-Type: application/cloudevents+json" \
  --data-binary @- "$YUEKANG_GATEWAY/v1/events" <<'EVENT'
{
  "specversion": "1.0",
  "id": "R-220305-1182",
  "type": "yuekang.nat-result.reported.v1",
  "source": "/laboratories/440100-001",
  "time": "2022-03-05T20:41:07+08:00",
  "sequence": "90412",
  "data": {
    "document": {"type": "resident-identity-card", "number": "11010519491231002X"},
    "sampled_at": "2022-03-05T09:12:00+08:00",
    "reported_at": "2022-03-05T20:40:00+08:00",
    "result": "negative",
    "institution": "广州市海珠区第三检测所",
    "status": "final"
  }
}
EVENT
