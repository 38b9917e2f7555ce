package yuekang.bench;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import yuekang.bench.HealthCode.Cause;
import yuekang.bench.HealthCode.Change;
import yuekang.bench.HealthCode.Colour;
import yuekang.bench.HealthCode.Status;

/**
 * What is held about one person, and how one more event folds into it: models/person.py.
 *
 * @param judgedAt everything until then has been told
 * @param dueAt the next instant at which time alone changes something, or null
 * @param plain while all it holds is who someone is, and results that open nothing
 * @param facts each identity once
 */
record Person(
    HealthCode code, Instant judgedAt, Instant dueAt, boolean plain, List<Fact> facts) {

  /** An event as the row keeps it, in bytes that are read when a rule asks for it. */
  record Fact(String source, String id, String supersedes, Instant arrivedAt, byte[] written) {
    private static Fact of(Event event, Instant arrivedAt) {
      byte[] written = Format.FACT.write(event);
      return new Fact(event.source(), event.id(), event.supersedes(), arrivedAt, written);
    }

    private Event event() {
      return Format.FACT.read(written);
    }

    private Instant deadline(Policy.Dated policies) {
      return arrivedAt.plus(policies.at(arrivedAt).correctionWait());
    }
  }

  /** Why an event is refused, or of no use; {@code word} is the reason in dead letters. */
  enum Objection {
    CONFLICT("conflict"),
    OTHER_SOURCE("correction-of-other-source"),
    LATER_EVENT("correction-of-later-event"),
    WITHOUT_TARGET("correction-without-target");

    final String word;

    Objection(String word) {
      this.word = word;
    }
  }

  /** A row after an event, and what is to be told of it, in order. */
  record Outcome(Person person, List<Change> changes, List<Objection> objections) {}

  static Person unknown(String person, Instant at) {
    Status none = new Status(Colour.NONE, List.of());
    HealthCode code = new HealthCode(person, 0, at, none, 0, Assessment.OF_NOTHING);
    return new Person(code, at, null, true, List.of());
  }

  /**
   * Folds an event that arrived at an instant; first tells what changed by time until then.
   *
   * @throws IllegalStateException for one event more than a row holds, which is not in the slice
   */
  Outcome fold(Event event, Instant arrivedAt, Policy.Dated policies) {
    List<Change> changes = new ArrayList<>();
    List<Objection> objections = new ArrayList<>();
    Person row = advance(arrivedAt, policies, changes, objections);
    Fact known = Fact.of(event, arrivedAt);
    Fact there = row.find(known.source, known.id);
    if (there != null) {
      if (!Arrays.equals(there.written, known.written)) {
        objections.add(Objection.CONFLICT);
      }
      return new Outcome(row, changes, objections);
    }
    if (row.facts.size() >= policies.at(row.judgedAt).factsMax()) {
      throw new IllegalStateException("a full row is not in the slice");
    }
    List<Fact> facts = new ArrayList<>(row.facts);
    facts.add(known);
    boolean nothingNew = row.plain && event.opensNothing();
    boolean plain = nothingNew || row.plain && event.isVerification();
    Person held = new Person(row.code, row.judgedAt, row.dueAt, plain, facts);
    if (nothingNew) { // the short cut of nearly every event: nothing is judged
      return new Outcome(held, changes, objections);
    }
    Fact named = held.find(known.source, known.supersedes);
    boolean corrects = named != null && event.corrects(named.event());
    Cause cause = new Cause(known.source, known.id, event.type(), corrects ? named.id : null);
    Person judged = held.judge(row.judgedAt, cause, policies, changes);
    if (named != null && !corrects) {
      objections.add(Objection.LATER_EVENT);
    } else if (named == null && facts.stream().anyMatch(f -> f.id.equals(known.supersedes))) {
      objections.add(Objection.OTHER_SOURCE);
    }
    facts.stream()
        .filter(fact -> known.id.equals(fact.supersedes) && known.source.equals(fact.source))
        .filter(fact -> !fact.event().corrects(event))
        .forEach(fact -> objections.add(Objection.LATER_EVENT));
    if (held.waits(known) && !known.deadline(policies).isAfter(row.judgedAt)) {
      objections.add(Objection.WITHOUT_TARGET); // read so late that its wait is over
    }
    return new Outcome(judged, changes, objections);
  }

  /** Tells what time alone changes until an instant. */
  private Person advance(
      Instant to, Policy.Dated policies, List<Change> changes, List<Objection> objections) {
    Person row = this;
    while (row.dueAt != null && !row.dueAt.isAfter(to)) {
      Instant at = row.dueAt;
      row.facts.stream()
          .filter(row::waits)
          .filter(fact -> fact.deadline(policies).equals(at))
          .forEach(fact -> objections.add(Objection.WITHOUT_TARGET));
      row = row.judge(at, new Cause(null, null, null, null), policies, changes);
    }
    Instant judgedAt = to.isAfter(row.judgedAt) ? to : row.judgedAt;
    return new Person(row.code, judgedAt, row.dueAt, row.plain, row.facts);
  }

  /** Judges the facts as of an instant; the code's version grows if anything in it changed. */
  private Person judge(Instant at, Cause cause, Policy.Dated policies, List<Change> changes) {
    List<Event> events = facts.stream().map(Fact::event).toList();
    Assessment found = Assessment.of(events, policies).at(at, policies);
    Stream<Instant> waits = facts.stream().filter(this::waits).map(f -> f.deadline(policies));
    Instant due =
        Stream.concat(found.edges(policies), waits)
            .filter(edge -> edge.isAfter(at))
            .min(Instant::compareTo)
            .orElse(null);
    Status status = found.status(at);
    boolean changed = !status.equals(code.told());
    if (!changed && found.equals(code.found())) {
      return new Person(code, at, due, plain, facts);
    }
    String person = code.person();
    int version = code.version() + 1;
    int before = code.toldVersion();
    if (changed) {
      changes.add(
          new Change(person, version, before, at, code.told(), status, cause, found.city()));
    }
    HealthCode next =
        new HealthCode(person, version, at, status, changed ? version : before, found);
    return new Person(next, at, due, plain, facts);
  }

  private Fact find(String source, String id) {
    for (Fact fact : facts) {
      if (fact.id.equals(id) && fact.source.equals(source)) {
        return fact;
      }
    }
    return null;
  }

  /** Says whether a fact corrects what has not arrived. */
  private boolean waits(Fact fact) {
    return fact.supersedes != null && find(fact.source, fact.supersedes) == null;
  }
}
