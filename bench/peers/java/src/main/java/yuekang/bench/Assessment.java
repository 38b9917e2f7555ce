package yuekang.bench;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import yuekang.bench.HealthCode.Colour;
import yuekang.bench.HealthCode.Status;

/** What a set of events means, by the rules for results alone: models/reasons.py. */
record Assessment(Instant verifiedSince, String city, List<Interval> intervals) {

  static final Assessment OF_NOTHING = new Assessment(null, null, List.of());

  /** The one reason of the slice, a positive result, by its rank. */
  private static final int POSITIVE = 1;

  /** A negative that a reason waits for. */
  record Condition(
      String kind, String owner, Instant notBefore, Instant metAt, Event.Ref metBy, Long apartS) {
    private static Condition of(Instant notBefore, Event negative, Long apartS) {
      boolean met = negative != null;
      return new Condition(
          "negative-test",
          "laboratory",
          notBefore,
          met ? negative.reportedAt() : null,
          met ? negative.ref() : null,
          apartS);
    }
  }

  record Interval(
      int reason,
      Instant start,
      Event.Ref openedBy,
      String policy,
      Instant end,
      List<Condition> conditions) {

    private boolean isOpen(Instant at) {
      return !start.isAfter(at) && (end == null || at.isBefore(end));
    }

    /** Returns when it leaves the code, or null. */
    private Instant keptUntil(Policy.Dated policies) {
      return end == null ? null : end.plus(policies.at(end).endedKept());
    }
  }

  /** Returns the status at an instant. */
  Status status(Instant at) {
    boolean verified = verifiedSince != null && !verifiedSince.isAfter(at);
    boolean open = intervals.stream().anyMatch(interval -> interval.isOpen(at));
    Colour colour = open ? Colour.RED : Colour.GREEN;
    return new Status(verified ? colour : Colour.NONE, open ? List.of(POSITIVE) : List.of());
  }

  /** Returns this without what has left the code by an instant. */
  Assessment at(Instant at, Policy.Dated policies) {
    List<Interval> kept = new ArrayList<>(intervals);
    kept.removeIf(i -> i.end != null && !i.keptUntil(policies).isAfter(at));
    return new Assessment(verifiedSince, city, kept);
  }

  /** Returns the instants at which the code changes by itself, past ones among them. */
  Stream<Instant> edges(Policy.Dated policies) {
    Stream<Instant> ofIntervals =
        intervals.stream().flatMap(i -> Stream.of(i.start, i.end, i.keptUntil(policies)));
    return Stream.concat(Stream.of(verifiedSince), ofIntervals).filter(Objects::nonNull);
  }

  private static final Comparator<Event> BY_REPORT =
      Comparator.comparing(Event::reportedAt)
          .thenComparing(Event::source)
          .thenComparing(Event::id);

  private static final Comparator<Event> BY_VERIFICATION =
      Comparator.comparing((Event event) -> event.data().verifiedAt())
          .thenComparing(Event.ORDER)
          .thenComparing(Event::source, Comparator.reverseOrder());

  /** Judges the events about one person, in any order, each identity once. */
  static Assessment of(Collection<Event> events, Policy.Dated policies) {
    Collection<Event> standing = standing(events);
    List<Event> identities =
        standing.stream()
            .filter(event -> event.type() == Event.Type.IDENTITY_VERIFIED)
            .sorted(BY_VERIFICATION)
            .toList();
    boolean verified = !identities.isEmpty();
    return new Assessment(
        verified ? identities.get(0).data().verifiedAt() : null,
        verified ? identities.get(identities.size() - 1).data().city() : null,
        positiveResults(standing, policies));
  }

  /**
   * Keeps the events that count. Of a chain of corrections the last that says something counts; a
   * retraction takes back what it names, also another retraction.
   */
  private static Collection<Event> standing(Collection<Event> events) {
    if (events.stream().allMatch(event -> event.supersedes() == null)) {
      return events;
    }
    Map<Event.Ref, Event> known = new LinkedHashMap<>();
    events.forEach(event -> known.put(event.ref(), event));
    List<Event> newestFirst = new ArrayList<>(events);
    newestFirst.sort(Event.ORDER.reversed());
    Set<Event.Ref> takenBack = new HashSet<>();
    Set<Event.Ref> corrected = new HashSet<>();
    Map<Object, Event> last = new HashMap<>();
    Set<Event> standing = new HashSet<>();
    // So whatever may take an event back or replace it is settled before it.
    for (Event event : newestFirst) {
      if (takenBack.contains(event.ref())) {
        continue;
      }
      Event target = event.target(known);
      if (!event.retracts()) {
        if (last.putIfAbsent(chain(event, known), event) == null) {
          standing.add(event);
        }
        if (target != null) {
          corrected.add(target.ref());
        }
      } else if (!corrected.contains(event.ref())) {
        standing.add(event);
        if (target != null) {
          takenBack.add(target.ref());
        }
      }
    }
    return known.values().stream().filter(standing::contains).toList();
  }

  /** Names a chain by its first event; corrections of one unknown event are of one chain too. */
  private static Object chain(Event event, Map<Event.Ref, Event> known) {
    Event first = event;
    for (Event target = first.target(known); target != null; target = first.target(known)) {
      first = target;
    }
    boolean hole = first.supersedes() != null && !known.containsKey(first.named());
    return List.of(hole ? first.named() : first.ref(), hole);
  }

  /** A final result, by when its swab counts as taken. */
  private record Swab(Instant sampledAt, Event event) {}

  /** A positive opens at its report; two negatives lift it, sampled after the newest positive. */
  private static List<Interval> positiveResults(
      Collection<Event> standing, Policy.Dated policies) {
    List<Event> byReport = standing.stream().filter(Event::isFinal).sorted(BY_REPORT).toList();
    if (byReport.stream().noneMatch(e -> e.is(Event.Result.POSITIVE))) {
      return List.of();
    }
    record Sample(String source, Instant at) {}
    Set<Sample> seen = new HashSet<>();
    NavigableMap<Instant, Swab> negatives = new TreeMap<>();
    List<Swab> waiting = new ArrayList<>();
    List<Interval> found = new ArrayList<>();
    Instant newest = Instant.MIN;
    for (int i = 0; i < byReport.size(); i++) {
      Event event = byReport.get(i);
      Instant at = event.reportedAt();
      boolean late =
          event.sampledAt().plus(policies.at(at).sampledToReportedMax()).isBefore(at);
      if (event.is(Event.Result.POSITIVE)) {
        Swab positive = new Swab(late ? at : event.sampledAt(), event);
        newest = newest.isAfter(positive.sampledAt) ? newest : positive.sampledAt;
        waiting.add(positive);
      } else if (event.is(Event.Result.NEGATIVE)
          && !late
          && seen.add(new Sample(event.source(), event.sampledAt()))) {
        negatives.merge(event.sampledAt(), new Swab(event.sampledAt(), event), Assessment::first);
      }
      boolean moreAtOnce = i + 1 < byReport.size() && byReport.get(i + 1).reportedAt().equals(at);
      for (Swab positive : moreAtOnce ? List.<Swab>of() : List.copyOf(waiting)) {
        Interval interval = interval(positive.event, newest, negatives, at, policies);
        if (interval.end != null) {
          waiting.remove(positive);
          found.add(interval);
        }
      }
    }
    for (Swab positive : waiting) {
      found.add(interval(positive.event, newest, negatives, null, policies));
    }
    return found.stream()
        .filter(i -> i.end == null || i.start.isBefore(i.end))
        .sorted(
            Comparator.comparing(Interval::start)
                .thenComparing(i -> i.openedBy.source())
                .thenComparing(i -> i.openedBy.id()))
        .toList();
  }

  /** Of two swabs of one instant, the one whose report comes first stands for both. */
  private static Swab first(Swab one, Swab other) {
    return BY_REPORT.compare(one.event, other.event) <= 0 ? one : other;
  }

  /** Returns what a positive has come to by what is known at an instant. */
  private static Interval interval(
      Event positive,
      Instant newest,
      NavigableMap<Instant, Swab> negatives,
      Instant at,
      Policy.Dated policies) {
    Policy policy = policies.at(positive.reportedAt());
    Map.Entry<Instant, Swab> first = negatives.higherEntry(newest);
    Instant from = newest.plusMillis(1); // after its swab
    Instant next = (first == null ? from : first.getKey()).plus(policy.negativesApart());
    Map.Entry<Instant, Swab> second = first == null ? null : negatives.ceilingEntry(next);
    return new Interval(
        POSITIVE,
        positive.reportedAt(),
        positive.ref(),
        policy.version(),
        second == null ? null : at,
        List.of(
            Condition.of(from, first == null ? null : first.getValue().event, null),
            Condition.of(
                next,
                second == null ? null : second.getValue().event,
                policy.negativesApart().toSeconds())));
  }
}
