package yuekang.bench;

import com.fasterxml.jackson.annotation.JsonCreator;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** The numbers of the slice's rules. They are given as JSON, from models/policy.py. */
record Policy(
    String version,
    Instant validFrom,
    Duration negativesApart,
    Duration sampledToReportedMax,
    Duration correctionWait,
    int factsMax,
    Duration endedKept) {

  /** All policies, in order of time. */
  record Dated(List<Policy> policies) {
    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    Dated {}

    /** Returns the policy in force at an instant; the first one also for what lies before it. */
    Policy at(Instant instant) {
      for (int i = policies.size() - 1; i > 0; i--) {
        if (!policies.get(i).validFrom.isAfter(instant)) {
          return policies.get(i);
        }
      }
      return policies.get(0);
    }
  }
}
