package yuekang.bench.model;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import yuekang.bench.model.Event.EventRef;
import yuekang.bench.model.Event.IdentityVerified;
import yuekang.bench.model.Event.NatResult;
import yuekang.bench.model.Event.Result;
import yuekang.bench.model.Event.ResultStatus;
import yuekang.bench.model.HealthCode.Cause;
import yuekang.bench.model.HealthCode.Colour;
import yuekang.bench.model.HealthCode.Interval;
import yuekang.bench.model.HealthCode.Status;
import yuekang.bench.model.HealthCode.StatusChange;

/**
 * What is held about one person, and how one more event folds into it: models/person.py.
 *
 * @param dueAt the next instant at which time alone changes something, or null
 * @param plain while all it holds is who someone is, and results that open nothing
 * @param facts sorted by (source, id), each identity once
 */
public record Person(
    HealthCode code, Instant judgedAt, Instant dueAt, boolean plain, List<Fact> facts) {

  private static final int LEAVING_TRIED_MAX = 16;

  /** An event, kept as written and read when a rule asks for it. */
  public record Fact(
      String source, String id, String supersedes, Instant arrivedAt, byte[] written) {
    static Fact of(Event event, Instant arrivedAt) {
      return new Fact(
          event.source(), event.id(), event.supersedes(), arrivedAt, EventBytes.write(event));
    }
  }

  public enum Objection {
    CONFLICT("conflict"),
    ROW_FULL("row-full"),
    CORRECTION_OF_OTHER_SOURCE("correction-of-other-source"),
    CORRECTION_OF_LATER_EVENT("correction-of-later-event"),
    CORRECTION_WITHOUT_TARGET("correction-without-target"),
    CLOSES_NOTHING("closes-nothing");

    public final String word;

    Objection(String word) {
      this.word = word;
    }
  }

  public record Notice(Event event, Objection objection, boolean refused) {}

  /** A row after an event, and what is to be told of it, in order. */
  public record Outcome(Person person, List<StatusChange> changes, List<Notice> notices) {}

  public static Person unknown(String person, Instant at) {
    HealthCode code =
        new HealthCode(person, 0, at, Colour.NONE, List.of(), 0, null, null, List.of());
    return new Person(code, at, null, true, List.of());
  }

  /** Folds an event; first tells what changed by time until its arrival. */
  public Outcome fold(Event event, Instant arrivedAt) {
    List<StatusChange> changes = new ArrayList<>();
    List<Notice> notices = new ArrayList<>();
    Person row = advance(arrivedAt, changes, notices);
    Instant at = row.judgedAt;
    Fact known = Fact.of(event, arrivedAt);
    int place = row.placeOf(event.source(), event.id());
    if (place >= 0) {
      Fact there = row.facts.get(place);
      if (!Objects.equals(there.supersedes, known.supersedes)
          || !Arrays.equals(there.written, known.written)) {
        notices.add(new Notice(event, Objection.CONFLICT, true));
      }
      return new Outcome(row, changes, notices);
    }
    List<Fact> facts = new ArrayList<>(row.facts.size() + 1);
    facts.addAll(row.facts);
    facts.add(-place - 1, known);
    Policy policy = Policy.at(at);
    boolean staysAsItIs = row.plain && opensNothing(event);
    if (facts.size() > policy.factsMax()) {
      Fact leaves = leaves(facts, row.code.person());
      if (leaves == known) {
        return new Outcome(row, changes, notices);
      }
      if (leaves != null) {
        facts.remove(leaves);
      } else if (staysAsItIs || facts.size() > policy.factsMax() + policy.factsReserved()) {
        notices.add(new Notice(event, Objection.ROW_FULL, true));
        return new Outcome(row, changes, notices);
      }
    }
    if (staysAsItIs) { // one more of them says nothing new, and corrects nothing
      return new Outcome(new Person(row.code, at, row.dueAt, true, facts), changes, notices);
    }
    boolean staysPlain =
        row.plain && event.data() instanceof IdentityVerified && event.supersedes() == null;
    Event target = row.target(event);
    String corrects = target == null || !event.corrects(target) ? null : target.id();
    Cause cause = new Cause(event.source(), event.id(), event.type(), corrects);
    Person judged = judgeAnew(row.code, facts, staysPlain, at, cause, changes);
    judged.claims(event, notices);
    if (!deadline(known).isAfter(at)) { // read so late that its wait is over
      judged.without(known, notices);
    }
    return new Outcome(judged, changes, notices);
  }

  /** Returns the oldest result without which the assessment is the same, or null. */
  private static Fact leaves(List<Fact> facts, String person) {
    Map<Fact, Event> events = new LinkedHashMap<>();
    Set<EventRef> named = new HashSet<>();
    for (Fact fact : facts) {
      events.put(fact, EventBytes.read(fact, person));
      if (fact.supersedes != null) {
        named.add(new EventRef(fact.source, fact.supersedes));
      }
    }
    Reasons.Assessment found = Reasons.assess(List.copyOf(events.values()));
    for (Interval interval : found.intervals()) {
      interval.conditions().forEach(condition -> named.add(condition.metBy()));
    }
    List<Fact> results = new ArrayList<>(facts);
    results.removeIf(
        f -> !opensNothing(events.get(f)) || named.contains(new EventRef(f.source, f.id)));
    results.sort(Comparator.comparing(f -> ((NatResult) events.get(f).data()).sampledAt()));
    for (Fact result : results.subList(0, Math.min(results.size(), LEAVING_TRIED_MAX))) {
      Map<Fact, Event> others = new LinkedHashMap<>(events);
      others.remove(result);
      if (Reasons.assess(List.copyOf(others.values())).equals(found)) {
        return result;
      }
    }
    return null;
  }

  /** Tells what time alone changes until an instant. */
  private Person advance(Instant to, List<StatusChange> changes, List<Notice> notices) {
    Person row = this;
    while (row.dueAt != null && !row.dueAt.isAfter(to)) {
      row.unanswered(row.dueAt, notices);
      row = judgeAnew(row.code, row.facts, row.plain, row.dueAt, Cause.TIME, changes);
    }
    return to.isAfter(row.judgedAt)
        ? new Person(row.code, to, row.dueAt, row.plain, row.facts)
        : row;
  }

  private static Instant dueAt(
      HealthCode code, List<Fact> facts, List<Event> events, Instant at) {
    Instant due = code.changesAt(at);
    for (Interval interval : code.intervals()) {
      due = sooner(due, interval.keptUntil());
    }
    Set<EventRef> closing = Reasons.closesNothing(events);
    for (Fact fact : facts) {
      if (correctsNothing(facts, fact) || closing.contains(new EventRef(fact.source, fact.id))) {
        Instant deadline = deadline(fact);
        if (deadline.isAfter(at)) {
          due = sooner(due, deadline);
        }
      }
    }
    return due;
  }

  private static boolean correctsNothing(List<Fact> facts, Fact fact) {
    return fact.supersedes != null && placeOf(facts, fact.source, fact.supersedes) < 0;
  }

  private static Instant sooner(Instant one, Instant other) {
    return one == null || other != null && other.isBefore(one) ? other : one;
  }

  private static Person judgeAnew(
      HealthCode code,
      List<Fact> facts,
      boolean plain,
      Instant at,
      Cause cause,
      List<StatusChange> changes) {
    List<Event> events = new ArrayList<>(facts.size());
    for (Fact fact : facts) {
      events.add(EventBytes.read(fact, code.person()));
    }
    Reasons.Assessment found = Reasons.assess(events);
    List<Interval> kept = new ArrayList<>(found.intervals());
    kept.removeIf(i -> i.keptUntil() != null && !i.keptUntil().isAfter(at));
    HealthCode judged = code.with(found.verifiedSince(), found.city(), kept);
    Instant dueAt = dueAt(judged, facts, events, at);
    Status told = new Status(code.colour(), code.reasons());
    Status status = judged.status(at);
    boolean changed = !status.equals(told);
    if (!changed && judged.equals(code)) {
      return new Person(code, at, dueAt, plain, facts);
    }
    int version = code.version() + 1;
    HealthCode next =
        new HealthCode(
            code.person(),
            version,
            at,
            status.colour(),
            status.reasons(),
            changed ? version : code.toldVersion(),
            found.verifiedSince(),
            found.city(),
            kept);
    if (changed) {
      changes.add(
          new StatusChange(
              code.person(), version, code.toldVersion(), at, told, status, cause, found.city()));
    }
    return new Person(next, at, dueAt, plain, facts);
  }

  /** Returns where a fact is, or -(where it would be) - 1. */
  private int placeOf(String source, String id) {
    return placeOf(facts, source, id);
  }

  private static int placeOf(List<Fact> facts, String source, String id) {
    int low = 0;
    int high = facts.size() - 1;
    while (low <= high) {
      int middle = (low + high) >>> 1;
      Fact other = facts.get(middle);
      int order = other.source.compareTo(source);
      if (order == 0) {
        order = other.id.compareTo(id);
      }
      if (order == 0) {
        return middle;
      }
      if (order < 0) {
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return -low - 1;
  }

  private static Instant deadline(Fact fact) {
    return fact.arrivedAt.plus(Policy.at(fact.arrivedAt).correctionWait());
  }

  private Event event(Fact fact) {
    return EventBytes.read(fact, code.person());
  }

  private Event target(Event event) {
    if (event.supersedes() == null) {
      return null;
    }
    int place = placeOf(event.source(), event.supersedes());
    return place < 0 ? null : event(facts.get(place));
  }

  private static boolean opensNothing(Event event) {
    return event.data() instanceof NatResult result
        && event.supersedes() == null
        && !(result.result() == Result.POSITIVE && result.status() == ResultStatus.FINAL);
  }

  /** Objects to corrections that the arrival of an event shows to be of no effect. */
  private void claims(Event event, List<Notice> notices) {
    Event target = target(event);
    if (target != null && !event.corrects(target)) {
      notices.add(new Notice(event, Objection.CORRECTION_OF_LATER_EVENT, false));
    } else if (target == null && event.supersedes() != null) {
      if (facts.stream().anyMatch(fact -> fact.id.equals(event.supersedes()))) {
        notices.add(new Notice(event, Objection.CORRECTION_OF_OTHER_SOURCE, false));
      }
    }
    for (Fact fact : facts) {
      if (event.id().equals(fact.supersedes)
          && fact.source.equals(event.source())
          && !event(fact).corrects(event)) {
        notices.add(new Notice(event(fact), Objection.CORRECTION_OF_LATER_EVENT, false));
      }
    }
  }

  /** Objects to corrections whose wait for the event they name ends at an instant. */
  private void unanswered(Instant at, List<Notice> notices) {
    for (Fact fact : facts) {
      if (deadline(fact).equals(at)) {
        without(fact, notices);
      }
    }
  }

  /** Objects to a fact if what it names has not arrived. */
  private void without(Fact fact, List<Notice> notices) {
    if (correctsNothing(facts, fact)) {
      notices.add(new Notice(event(fact), Objection.CORRECTION_WITHOUT_TARGET, false));
    } else if (Reasons.closesNothing(facts.stream().map(this::event).toList())
        .contains(new EventRef(fact.source, fact.id))) {
      notices.add(new Notice(event(fact), Objection.CLOSES_NOTHING, false));
    }
  }
}
