package yuekang.bench.model;

import com.fasterxml.jackson.annotation.JsonValue;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import yuekang.bench.model.Event.EventRef;

/** A person's code, every reason an interval: models/codes.py. */
public record HealthCode(
    String person,
    int version,
    Instant judgedAt,
    Colour colour,
    List<Reason> reasons,
    int toldVersion,
    Instant verifiedSince,
    String city,
    List<Interval> intervals) {

  public enum Colour {
    RED("red"),
    GREEN("green"),
    NONE("none");

    private final String word;

    Colour(String word) {
      this.word = word;
    }

    @JsonValue
    public String word() {
      return word;
    }
  }

  /** By rank. */
  public enum Reason {
    CONFIRMED_OR_POSITIVE,
    SUSPECTED_CASE,
    CLOSE_CONTACT,
    OUT_OF_PROVINCE_CODE,
    CENTRALISED_QUARANTINE,
    HOME_QUARANTINE;

    @JsonValue
    public int rank() {
      return ordinal() + 1;
    }
  }

  public enum ConditionKind {
    TIME("time"),
    NEGATIVE_TEST("negative-test"),
    DISCHARGE("discharge"),
    EXCLUSION("exclusion"),
    PROVINCE_GREEN("province-green"),
    RELEASE_NOTICE("release-notice");

    private final String word;

    ConditionKind(String word) {
      this.word = word;
    }

    @JsonValue
    public String word() {
      return word;
    }
  }

  public enum Owner {
    TIME("time"),
    LABORATORY("laboratory"),
    CDC("cdc"),
    QUARANTINE_COMMAND("quarantine-command"),
    PROVINCE("province");

    private final String word;

    Owner(String word) {
      this.word = word;
    }

    @JsonValue
    public String word() {
      return word;
    }
  }

  public record Condition(
      ConditionKind kind, Owner owner, Instant notBefore, Instant metAt, EventRef metBy) {}

  public record Interval(
      Reason reason,
      Instant start,
      EventRef openedBy,
      String policy,
      Instant end,
      List<Condition> conditions,
      String province) {

    public static final Comparator<Interval> ORDER =
        Comparator.comparing(Interval::reason)
            .thenComparing(Interval::start)
            .thenComparing(Interval::openedBy);

    boolean isOpen(Instant at) {
      return !start.isAfter(at) && (end == null || at.isBefore(end));
    }

    /** Returns when it leaves the code, or null. */
    Instant keptUntil() {
      return end == null ? null : end.plus(Policy.at(end).endedKept());
    }

    Interval until(Instant end, List<Condition> conditions) {
      return new Interval(reason, start, openedBy, policy, end, conditions, province);
    }
  }

  public record Status(Colour colour, List<Reason> reasons) {}

  public record Cause(String source, String id, String type, String corrects) {
    static final Cause TIME = new Cause(null, null, null, null);
  }

  public record StatusChange(
      String person,
      int version,
      int previousVersion,
      Instant at,
      Status before,
      Status after,
      Cause cause,
      String city) {}

  /** Returns this code with what was found anew. */
  HealthCode with(Instant verifiedSince, String city, List<Interval> intervals) {
    return new HealthCode(
        person, version, judgedAt, colour, reasons, toldVersion, verifiedSince, city, intervals);
  }

  /** Reads the code at an instant. */
  public Status status(Instant at) {
    if (verifiedSince == null || verifiedSince.isAfter(at)) {
      return new Status(Colour.NONE, openReasons(at));
    }
    List<Reason> open = openReasons(at);
    return new Status(open.isEmpty() ? Colour.GREEN : Colour.RED, open);
  }

  private List<Reason> openReasons(Instant at) {
    List<Reason> open = new ArrayList<>();
    for (Interval interval : intervals) {
      // Intervals are sorted by reason.
      if (interval.isOpen(at)
          && (open.isEmpty() || open.get(open.size() - 1) != interval.reason())) {
        open.add(interval.reason());
      }
    }
    return open;
  }

  /** Returns when the code changes by itself after an instant, or null. */
  Instant changesAt(Instant at) {
    Instant next = earliest(null, verifiedSince, at);
    for (Interval interval : intervals) {
      next = earliest(next, interval.start(), at);
      next = earliest(next, interval.end(), at);
    }
    return next;
  }

  private static Instant earliest(Instant next, Instant edge, Instant after) {
    boolean sooner = edge != null && edge.isAfter(after) && (next == null || edge.isBefore(next));
    return sooner ? edge : next;
  }
}
