package yuekang.bench.model;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
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
 * @param facts sorted by (source, id), each identity once
 */
public record Person(HealthCode code, Instant judgedAt, List<Fact> facts) {

  public record Fact(Event event, Instant arrivedAt) {}

  public enum Objection {
    CONFLICT("conflict"),
    ROW_FULL("row-full"),
    CORRECTION_OF_OTHER_SOURCE("correction-of-other-source"),
    CORRECTION_OF_LATER_EVENT("correction-of-later-event"),
    CORRECTION_WITHOUT_TARGET("correction-without-target");

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
    return new Person(code, at, List.of());
  }

  /** Folds an event; first tells what changed by time until its arrival. */
  public Outcome fold(Event event, Instant arrivedAt) {
    List<StatusChange> changes = new ArrayList<>();
    List<Notice> notices = new ArrayList<>();
    Person row = advance(arrivedAt, changes, notices);
    Instant at = row.judgedAt;
    int place = row.placeOf(event.source(), event.id());
    if (place >= 0) {
      if (!row.facts.get(place).event().equals(event)) {
        notices.add(new Notice(event, Objection.CONFLICT, true));
      }
      return new Outcome(row, changes, notices);
    }
    Policy policy = Policy.at(at);
    int most = policy.factsMax() + (opensNothing(event) ? 0 : policy.factsReserved());
    if (row.facts.size() >= most) {
      notices.add(new Notice(event, Objection.ROW_FULL, true));
      return new Outcome(row, changes, notices);
    }
    List<Fact> facts = new ArrayList<>(row.facts.size() + 1);
    facts.addAll(row.facts);
    facts.add(-place - 1, new Fact(event, arrivedAt));
    Cause cause = new Cause(event.source(), event.id(), event.type());
    Person judged = new Person(row.code, row.judgedAt, facts).judgeAnew(at, cause, changes);
    judged.claims(event, notices);
    return new Outcome(judged, changes, notices);
  }

  /** Tells what time alone changes until an instant. */
  private Person advance(Instant to, List<StatusChange> changes, List<Notice> notices) {
    Person row = this;
    Instant due;
    while ((due = row.dueAt()) != null && !due.isAfter(to)) {
      row.unanswered(due, notices);
      row = row.judgeAnew(due, Cause.TIME, changes);
    }
    return to.isAfter(row.judgedAt) ? new Person(row.code, to, row.facts) : row;
  }

  private Instant dueAt() {
    Instant due = code.changesAt(judgedAt);
    for (Interval interval : code.intervals()) {
      due = sooner(due, interval.keptUntil());
    }
    for (Fact fact : facts) {
      if (fact.event().supersedes() != null) {
        Instant deadline = deadline(fact);
        if (deadline.isAfter(judgedAt) && target(fact.event()) == null) {
          due = sooner(due, deadline);
        }
      }
    }
    return due;
  }

  private static Instant sooner(Instant one, Instant other) {
    return one == null || other != null && other.isBefore(one) ? other : one;
  }

  private Person judgeAnew(Instant at, Cause cause, List<StatusChange> changes) {
    Reasons.Assessment found = Reasons.assess(facts.stream().map(Fact::event).toList());
    List<Interval> kept =
        found.intervals().stream()
            .filter(i -> i.keptUntil() == null || i.keptUntil().isAfter(at))
            .toList();
    HealthCode judged =
        new HealthCode(
            code.person(),
            code.version(),
            code.judgedAt(),
            code.colour(),
            code.reasons(),
            code.toldVersion(),
            found.verifiedSince(),
            found.city(),
            kept);
    Status told = new Status(code.colour(), code.reasons());
    Status status = judged.status(at);
    if (status.equals(told) && sameAs(judged)) {
      return new Person(code, at, facts);
    }
    int version = code.version() + 1;
    boolean changed = !status.equals(told);
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
    return new Person(next, at, facts);
  }

  private boolean sameAs(HealthCode judged) {
    return Objects.equals(code.verifiedSince(), judged.verifiedSince())
        && Objects.equals(code.city(), judged.city())
        && code.intervals().equals(judged.intervals());
  }

  /** Returns where a fact is, or -(where it would be) - 1. */
  private int placeOf(String source, String id) {
    int low = 0;
    int high = facts.size() - 1;
    while (low <= high) {
      int middle = (low + high) >>> 1;
      Event other = facts.get(middle).event();
      int order = other.source().compareTo(source);
      if (order == 0) {
        order = other.id().compareTo(id);
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
    return fact.arrivedAt().plus(Policy.at(fact.arrivedAt()).correctionWait());
  }

  private Event target(Event event) {
    if (event.supersedes() == null) {
      return null;
    }
    int place = placeOf(event.source(), event.supersedes());
    return place < 0 ? null : facts.get(place).event();
  }

  private static boolean opensNothing(Event event) {
    return event.data() instanceof NatResult result
        && !(result.result() == Result.POSITIVE && result.status() == ResultStatus.FINAL);
  }

  /** Objects to corrections that the arrival of an event shows to be of no effect. */
  private void claims(Event event, List<Notice> notices) {
    Event target = target(event);
    if (target != null && !event.corrects(target)) {
      notices.add(new Notice(event, Objection.CORRECTION_OF_LATER_EVENT, false));
    } else if (target == null && event.supersedes() != null) {
      if (facts.stream().anyMatch(fact -> fact.event().id().equals(event.supersedes()))) {
        notices.add(new Notice(event, Objection.CORRECTION_OF_OTHER_SOURCE, false));
      }
    }
    for (Fact fact : facts) {
      if (event.id().equals(fact.event().supersedes())
          && fact.event().source().equals(event.source())
          && !fact.event().corrects(event)) {
        notices.add(new Notice(fact.event(), Objection.CORRECTION_OF_LATER_EVENT, false));
      }
    }
  }

  /** Objects to corrections whose wait for the event they name ends at an instant. */
  private void unanswered(Instant at, List<Notice> notices) {
    for (Fact fact : facts) {
      if (fact.event().supersedes() != null
          && deadline(fact).equals(at)
          && target(fact.event()) == null) {
        notices.add(new Notice(fact.event(), Objection.CORRECTION_WITHOUT_TARGET, false));
      }
    }
  }
}
