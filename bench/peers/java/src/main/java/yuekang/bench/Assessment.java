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
  record Condition(String kind, String owner, Instant notBefore, Instant metAt, Event.Ref metBy) {
    private static Condition of(Instant notBefore, Event negative) {
      boolean met = negative != null;
      return new Condition(
          "negative-test",
          "laboratory",
          notBefore,
          met ? negative.reportedAt() : null,
          met ? negative.ref() : null);
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

  private static List<Interval> positiveResults(
      Collection<Event> standing, Policy.Dated policies) {
    List<Event> positives = standing.stream().filter(e -> e.is(Event.Result.POSITIVE)).toList();
    if (positives.isEmpty()) {
      return List.of();
    }
    NavigableMap<Instant, List<Event>> runs = runs(positives, standing);
    return positives.stream()
        .map(positive -> interval(positive, runs, policies.at(positive.reportedAt())))
        .filter(i -> i.end == null || i.start.isBefore(i.end))
        .sorted(
            Comparator.comparing(Interval::start)
                .thenComparing(i -> i.openedBy.source())
                .thenComparing(i -> i.openedBy.id()))
        .toList();
  }

  /** Returns the negatives after each positive and before the next, by sampling; a swab once. */
  private static NavigableMap<Instant, List<Event>> runs(
      List<Event> positives, Collection<Event> standing) {
    NavigableMap<Instant, List<Event>> runs = new TreeMap<>();
    positives.forEach(positive -> runs.put(positive.sampledAt(), new ArrayList<>()));
    record Swab(String source, Instant sampledAt) {}
    Map<Swab, Event> swabs = new LinkedHashMap<>();
    standing.stream()
        .filter(event -> event.is(Event.Result.NEGATIVE))
        .sorted(BY_REPORT)
        .forEach(e -> swabs.putIfAbsent(new Swab(e.source(), e.sampledAt()), e));
    swabs.values().stream()
        .sorted(Comparator.comparing(Event::sampledAt))
        // One sampled at the very instant of a positive is not after it, nor apart from it.
        .filter(negative -> !runs.containsKey(negative.sampledAt()))
        .filter(negative -> runs.floorKey(negative.sampledAt()) != null)
        .forEach(negative -> runs.floorEntry(negative.sampledAt()).getValue().add(negative));
    return runs;
  }

  private record Pair(Event first, Event second) {
    Instant complete() {
      boolean firstIsLater = first.reportedAt().isAfter(second.reportedAt());
      return (firstIsLater ? first : second).reportedAt();
    }
  }

  /** Returns the pairs of a run that are sampled so far apart, for each second the best first. */
  private static Stream<Pair> pairs(List<Event> run, Duration apart) {
    return run.stream()
        .flatMap(
            second ->
                run.stream()
                    .filter(e -> !e.sampledAt().plus(apart).isAfter(second.sampledAt()))
                    .min(Comparator.comparing(Event::reportedAt))
                    .map(first -> new Pair(first, second))
                    .stream());
  }

  /** A positive opens at its report; two negatives lift it, with no positive between. */
  private static Interval interval(
      Event positive, NavigableMap<Instant, List<Event>> runs, Policy policy) {
    Duration apart = policy.negativesApart();
    Pair best =
        runs.tailMap(positive.sampledAt()).values().stream()
            .flatMap(run -> pairs(run, apart))
            .min(Comparator.comparing(Pair::complete))
            .orElse(null);
    // While a negative is missing, both are counted from the newest positive.
    Instant after = best == null ? runs.lastKey() : positive.sampledAt();
    Event awaited = runs.lastEntry().getValue().stream().findFirst().orElse(null);
    Event first = best == null ? awaited : best.first;
    Instant next = (first == null ? after : first.sampledAt()).plus(apart);
    return new Interval(
        POSITIVE,
        positive.reportedAt(),
        positive.ref(),
        policy.version(),
        best == null ? null : best.complete(),
        List.of(Condition.of(after, first), Condition.of(next, best == null ? null : best.second)));
  }
}
