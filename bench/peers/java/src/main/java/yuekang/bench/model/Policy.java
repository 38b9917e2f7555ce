package yuekang.bench.model;

import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.List;
import java.util.Set;

/** The rules' numbers, dated: models/policy.py. */
public record Policy(
    String version,
    Instant validFrom,
    Duration afterDischarge,
    Duration negativesApart,
    Duration afterExposure,
    int[] contactTestDays,
    Set<Event.QuarantineKind> plannedEndLifts,
    Duration correctionWait,
    int factsMax,
    int factsReserved,
    Duration endedKept) {

  public static final ZoneId ZONE = ZoneId.of("Asia/Shanghai");

  private static final List<Policy> POLICIES =
      List.of(
          new Policy(
              "2020-04",
              LocalDate.of(2019, 12, 1).atStartOfDay(ZONE).toInstant(),
              Duration.ofDays(14),
              Duration.ofHours(24),
              Duration.ofDays(14),
              new int[] {1, 4, 7, 14},
              Set.of(Event.QuarantineKind.HOME),
              Duration.ofHours(24),
              512,
              256,
              Duration.ofDays(2)));

  /** Returns the policy in force at an instant; the first one also for what lies before it. */
  public static Policy at(Instant instant) {
    for (int i = POLICIES.size() - 1; i > 0; i--) {
      if (!POLICIES.get(i).validFrom.isAfter(instant)) {
        return POLICIES.get(i);
      }
    }
    return POLICIES.get(0);
  }

  /** Returns 00:00 of the calendar day of an instant plus some days. */
  public static Instant dayStart(Instant instant, int days) {
    return instant.atZone(ZONE).toLocalDate().plusDays(days).atStartOfDay(ZONE).toInstant();
  }
}
